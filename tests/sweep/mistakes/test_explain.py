"""What a mistake in a spec is answered with: what a person can type, and what the usual words are called here."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from basis.errors import UserError
from sweep.mistakes.accepted import accepted_keys
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import candidate_trials
from sweep.spec_file.load import load_spec, parse_spec
from sweep.trial.config import TrialConfig
from tests.conftest import Here

TRIAL = {"steps": 10, "batch_size": 2, "block_size": 8, "test_every": 5, "test_windows": 2}
SPEC: dict[str, Any] = {
    "name": "x",
    "trial": TRIAL,
    "lora": {"alpha": 16},
    "space": [{"method": "lora", "rank": 2, "optimizer": "adamw", "lr": 1e-3}],
    "tables": [{"title": "All"}],
}
LIBRARY_WORDS = re.compile(
    r"Input should|valid (integer|number|string|tuple|dictionary|boolean)|unable to|instance of|Tuple|tuple|NoneType|"
    r"None\b|pattern|after validation|function-|Part\b|Config\b|<\w+>|\\[dsw]|\n"
)
HELPS = re.compile(r"accept|needs|missing; |give |unknown key; |is missing from it|more than")
WRONG = (None, True, -1, 1.5, 10**30, float("nan"), "x y", [], ["x y"], [[1]], {}, {"x": 1}, {3: 4})


def at(place: list[str | int], value: Any) -> dict[str, Any]:
    """The spec with one value replaced."""
    spec: Any = yaml.safe_load(yaml.safe_dump(SPEC))
    inner = spec
    for key in place[:-1]:
        inner = inner[key] if isinstance(inner, list) else inner.setdefault(key, {})
    inner[place[-1]] = value
    return dict(spec)


def answer_to(values: dict[str, Any]) -> str:
    """What a spec is refused with; "" if it is accepted."""
    try:
        candidate_trials(parse_spec(values))
    except UserError as error:
        return str(error)
    return ""


PLACES: list[list[str | int]] = [
    *([field] for field in SweepSpec.model_fields),
    *([part, field] for part in ("model", "data", "reward", "resources", "memory")
      for field in accepted_keys(SweepSpec, [part])),
    *(["model", 0, field] for field in ("name", "label", "seed")),
    *(["model", "shape", field] for field in ("n_layer", "vocab_size")),
    *(["tables", 0, field] for field in ("title", "where", "factor")),
    *(["space", 0, field] for field in TrialConfig.model_fields),
    *(["trial", field] for field in TRIAL),
    *(["lora", field] for field in ("alpha", "targets", "scaling")),
    *(["seeds", field] for field in ("min", "max")),
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_no_wrong_value_is_answered_in_a_librarys_words(place: list[str | int]) -> None:
    answers = [answer for answer in (answer_to(at(place, value)) for value in WRONG) if answer]
    assert len(answers) >= 3, "hardly any of these values is one for this place"
    for answer in (line for lines in answers for line in lines.splitlines()):
        assert len(answer) <= 300
        assert not LIBRARY_WORDS.search(answer), answer
        assert str(place[0]) in answer
        assert HELPS.search(answer), answer


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trial.steps=ten", "trial.steps: 'ten' is not accepted; accepted: a whole number from 1 to 1000000000"),
        ("trial.lr=null", "trial.lr: null is not accepted; accepted: a number above 0"),
        ("trial.dropout=1", "trial.dropout: 1 is not accepted; accepted: a number from 0 and below 1"),
        ("trial.lr=[1e-3]", "accepted: a number above 0; lists of choices and ranges stand in a branch of space"),
        ("space.0.betas=[0.9]", "[0.9] is not accepted; accepted: a list of 2 numbers, such as [0.9, 0.95], or null"),
        ("space.0.targets=head", "such as q_proj; or a list of such, or null"),
        ("space.0.tie_head=maybe", "'maybe' is not accepted; accepted: true or false"),
        ("resources=4", "resources: 4 is not accepted; accepted: {cpu: ..., gpu: ...}"),
        ("resources.gpu=true", "resources.gpu: true is not accepted; accepted: auto, share, 0, 1 or a fraction"),
        ("space=lora", "accepted: a list of branches such as {method: lora, rank: [1, 8], optimizer: adamw, lr: 1e-4}"),
        ("seeds={min: 3}", "seeds.max: missing; accepted: a whole number from 3 to 1000"),
        ("trial={3: 4}", "trial: the key 3 is not accepted; accepted: names"),
        ("data.train=null", "data.train: null is not accepted; accepted: local files (.jsonl, "),
        ("space.7.lr=3", "--set space.7.lr: there is no space.7; accepted: 0 to 0"),
        ("data..train=x", "--set 'data..train=x' is not accepted; write --set key=value"),
        ("extends=study", "--set extends: not accepted; write it into a file"),
    ],
)
def test_accepted_lists_what_a_person_can_type(tmp_path: Path, override: str, message: str) -> None:
    path = tmp_path / "spec.yaml"
    values = {**SPEC, "space": [{"method": "lora", "rank": 2, "optimizer": "adamw"}], "trial": {**TRIAL, "lr": 1e-3}}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        candidate_trials(load_spec(str(path), [override]))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("place", "word", "answer"),
    [
        (["space", 0], "learning_rate", "space[0].learning_rate: unknown key; here it is lr, such as lr: 1e-4"),
        ([], "learning_rate", "here it is lr, such as lr: 1e-4 (stands in a branch of space, or under trial)"),
        (["lora"], "lora_alpha", "lora.lora_alpha: unknown key; here it is alpha, such as alpha: 32"),
        (["lora"], "r", "lora.r: unknown key; here it is rank, such as rank: 8"),
        (["lora"], "target_modules", "here it is targets, such as targets: [attention_in, attention_out, mlp_in,"),
        (["trial"], "num_train_epochs", "trial.num_train_epochs: unknown key; here it is steps, such as steps: 1000;"),
        (["trial"], "epochs", "trial.epochs: unknown key; here it is steps"),
        (["trial"], "per_device_train_batch_size", "here it is batch_size, the windows of one optimizer step"),
        (["trial"], "gradient_accumulation_steps", "here it is micro_batch, the most windows per pass"),
        (["trial"], "max_seq_length", "here it is block_size, the tokens of a window"),
        (["trial"], "bf16", "trial.bf16: unknown key; here it is precision: auto, fp32, tf32, bf16 or fp16"),
        (["trial"], "gradient_checkpointing", "here it is activation_checkpointing: true"),
        (["model"], "model_name_or_path", "here it is model.name, such as model: {name: gpt2}"),
        (["data"], "dataset_name", "here it is data.train, such as data: {train: dialogues.jsonl}"),
        ([], "seed", "here it is seeds at the top, such as seeds: [3]"),
        ([], "batch_size", "batch_size: unknown key; batch_size stands in a branch of space, or under trial"),
        ([], "rank", "rank: unknown key; rank stands in a branch of space, or under lora"),
        (["trial"], "seeds", "trial.seeds: unknown key; seeds stands at the top of a spec"),
        (["model"], "test_fraction", "model.test_fraction: unknown key; test_fraction stands under data"),
        ([], "extend", "extend: unknown key (did you mean 'extends'?); accepted: name, about"),
        (["trial"], "stepss", "trial.stepss: unknown key (did you mean 'steps'?); accepted: method"),
    ],
)
def test_the_usual_words_are_understood_wherever_they_stand(place: list[str | int], word: str, answer: str) -> None:
    for value in (3, True):
        with pytest.raises(UserError) as caught:
            candidate_trials(parse_spec(at([*place, word], value)))
        assert answer in str(caught.value)


def test_an_unknown_key_is_told_before_the_missing_one_that_it_was_meant_for() -> None:
    branch = {"method": "lora", "r": 8, "optimizer": "adamw", "learning_rate": 1e-3}
    with pytest.raises(UserError) as caught:
        candidate_trials(parse_spec({**SPEC, "space": [branch]}))
    assert str(caught.value).splitlines() == [
        "space[0].r: unknown key; here it is rank, such as rank: 8",
        "space[0].learning_rate: unknown key; here it is lr, such as lr: 1e-4",
    ]


def test_all_mistakes_are_told_at_once_each_with_its_line(here: Here, tmp_path: Path) -> None:
    below, above = tmp_path / "below.yaml", tmp_path / "above.yaml"
    below.write_text(
        "extends: demo\n"
        "resources:\n"
        "  cpu: many\n"
        "trial:\n"
        "  stepps: 100\n"
        "  steps: ten\n"
        "variants:\n"
        "  odd:\n"
        "    lora: {alpha: -1}\n",
        encoding="utf-8",
    )
    above.write_text(
        "extends: below.yaml\n"
        "seed: 3\n"
        "space:\n"
        "  - {method: full, optimizer: adamm, lr: 1e-3}\n"
        "  - method: lora\n"
        "    rank: [1, two]\n"
        "    optimizer: adamw\n"
        "    learning_rate: 1e-3\n"
        "tables: [{factor: rank}]\n",
        encoding="utf-8",
    )
    code, _, error = here(above, "--dry-run", "--set", "variant=odd", "--set", "reward={new_tokens: 0}")
    assert code == 2
    told = [line.removeprefix("error: ") for line in error.splitlines()]
    assert [re.sub(r":.*\(", " (", line) for line in told] == [
        "seed (above.yaml, line 2)",
        "trial.stepps (below.yaml, line 5)",
        "space[1].learning_rate (above.yaml, line 8)",
        "reward.new_tokens (--set reward)",
        "resources.cpu (below.yaml, line 3)",
        "space[0].optimizer (above.yaml, line 4)",
        "trial.steps (below.yaml, line 6)",
        "lora.alpha (below.yaml, line 9)",
        "space[1].rank (above.yaml, line 6)",
        "tables[0].title (above.yaml, line 9)",
    ]


def test_a_single_branch_that_replaces_the_branches_below_is_told_with_its_own_line(here: Here, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: demo\nspace:\n  method: lora\n  rank: two\n  optimizer: adamm\n  lr: 1e-3\n")
    code, _, error = here(mine, "--dry-run")
    assert code == 2
    assert re.findall(r"space\[0\]\.(\w+): .*\((.*)\)", error) == [
        ("rank", "mine.yaml, line 4"),
        ("optimizer", "mine.yaml, line 5"),
    ]


def test_a_kept_spec_that_somebody_has_damaged_is_told_with_its_lines_too(here: Here, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(at(["trial", "steps"], "ten")), encoding="utf-8")
    code, _, error = here("--resume", tmp_path)
    assert code == 2
    assert "trial.steps: 'ten' is not accepted; accepted: a whole number from 1 to 1000000000 (spec.yaml, line" in error


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("targets", ["mlp"], "; here it is mlp_in and mlp_out"),
        ("targets", ["lm_head"], "; here it is head"),
        ("targets", ["attention_inn"], "; did you mean 'attention_in'?"),
        ("optimizer", "paged_adamw_8bit", "write adamw8bit"),
        ("optimizer", "adammw", "; did you mean 'adamw'?"),
        ("precision", "bfloat16", "; here it is bf16"),
        ("scaling", "rslora", "; here it is alpha/sqrt(r)"),
        ("schedule", "cosin", "; did you mean 'cosine'?"),
        ("method", "LoRA", "; did you mean 'lora'?"),
    ],
)
def test_the_usual_values_are_understood_too(key: str, value: Any, answer: str) -> None:
    with pytest.raises(UserError) as caught:
        candidate_trials(parse_spec(at(["space", 0, key], value)))
    assert str(caught.value).endswith(answer)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("lora: {alpha: " + "[" * 1500 + "]" * 1500 + "}", "are nested too deeply"),
        ("about: 2024-99-99", "line 2: 2024-99-99 is read as a date; write it in quotes"),
        ("about: 2024-01-02", "line 2: 2024-01-02 is read as a date; write it in quotes"),
        (f"trial: {{steps: {'9' * 5000}}}", "line 2: 9999999999999999999999999999999999999... is no number"),
        (f"resources: {{gpu: 1{'0' * 400}}}", "line 2: 1000000000000000000000000000000000000... is no number"),
        ("search_seed: 1e400", "line 2: 1e400 is no number that a spec can hold"),
        ("trial: {steps: !!int x}", "line 2: x is no number that a spec can hold"),
        ("trial: {steps: 010}", "line 2: 010 is read in base eight; write it without the 0 in front"),
        ("about: 12:30", "line 2: 12:30 is read as a number in base sixty; write it in quotes"),
        ("about: !!binary aGk=", "line 2: YAML's tags and other extras are not accepted"),
        ("about: !!bool perhaps", "line 2: perhaps is not accepted; accepted: true or false"),
        ('about: "\\ud800"', "holds a character that no text has"),
        ("on: 3", "line 2: the key on is read as true or false; write it in quotes"),
        ("about: no", "about: false is not accepted; accepted: text; on, off, yes and no are true and false to YAML"),
        (
            "published_figures: 'no'",
            "published_figures: 'no' is not accepted; accepted: true or false (spec.y",
        ),
        ("a: &a [*a]", "line 2: an alias lies within what it stands for"),
        (
            "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)),
            "it holds more than 100,000 values",
        ),
        (
            "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60)),
            "it holds more than 100,000 values",
        ),
        ("about: " + "x" * 200_000, "is too long for a spec; accepted: 128 KiB at most"),
        (
            "space: {method: full, optimizer: sgd, lr: &l [1" + ", 1" * 999 + "], clip_norm: *l}",
            "space: has 1,000,000 trials; accepted: 10,000 at most (spec.yaml, line 2)",
        ),
        (
            "search: tuned\ntrials: 9999\nspace: [{method: full, optimizer: [sgd, adamw], lr: {low: 1, high: 2}}]",
            "space: has 20,000 trials; accepted: 10,000 at most (spec.yaml, line 4)",
        ),
        (
            "trials: 1000000000000\nsearch: random",
            "trials: 1000000000000 is not accepted; accepted: a whole number fro",
        ),
        (
            "space: [{method: full, optimizer: sgd, lr: {low: 1, high: 2, log: 'no'}}]\nsearch: random\ntrials: 2",
            "space[0].lr.log: 'no' is not accepted; accepted: true or false (spec.yaml, line 2)",
        ),
        ("trial: {batch_size: 1000000, block_size: 1000000}", "1,000,000,000,000 tokens a step; accepted: 67,108,864"),
        ("seeds: 2\nseeds: 5", "line 3: 'seeds' stands twice, first in line 2"),
        ("trial: {steps: 1, batch_size: 2, steps: 3}", "line 2: 'steps' stands twice, first in line 2"),
        ("about: \x07", "line 2: not valid YAML: special characters are not allowed"),
        ("about: !!python/name:os.system", "line 2: YAML's tags and other extras are not accepted; write plain values"),
        ("about: [", "not valid YAML"),
        ("variants: {small: 3}\nvariant: small", "variants.small: 3 is not accepted; accepted: a mapping of keys to"),
    ],
)
def test_yamls_traps_end_in_one_clear_line(here: Here, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(f"extends: demo\n{content}\n", encoding="utf-8")
    code, _, error = here(path, "--dry-run")
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


def test_mappings_that_share_keys_by_an_anchor_are_no_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "extends: demo\n"
        "lora: &small {alpha: 8}\n"
        "space:\n"
        "  - &arm {<<: *small, method: lora, rank: 1, optimizer: sgd, lr: 1e-3, alpha: 4}\n"
        "  - {<<: *arm, rank: 2}\n",
        encoding="utf-8",
    )
    assert [(trial.rank, trial.alpha) for trial in candidate_trials(load_spec(str(path)))] == [(1, 4), (2, 4)]
