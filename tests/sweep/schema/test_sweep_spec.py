"""Specs: inheritance, variants and --set, presets as they ship, and every mistake answered in one line that helps."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from basis.errors import UserError
from sweep.search_space import candidate_trials, enumerate_trials
from sweep.spec_file.load import load_spec, parse_kept_spec
from sweep.spec_file.presets import preset_about, preset_names

PRESETS = ["chat", "demo", "fair", "full", "lora-ranks", "optimizers", "study"]


def write(folder: Path, name: str = "mine.yaml", **values: Any) -> str:
    path = folder / name
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return str(path)


def test_every_preset_ships_valid_with_a_line_about_it() -> None:
    assert preset_names() == PRESETS
    for name in PRESETS:
        assert 20 < len(preset_about(name)) < 130
        assert candidate_trials(load_spec(name))


@pytest.mark.parametrize("name", ["full", "lora-ranks", "optimizers", "study"])
def test_study_presets_run_the_published_20000_steps_in_both_variants(name: str) -> None:
    for overrides in ([], ["variant=published"]):
        for trial in enumerate_trials(load_spec(name, overrides)):
            assert (trial.steps, trial.batch_size, trial.block_size) == (20_000, 8, 1024)
            assert (trial.test_every, trial.test_windows) == (200, 240)


def test_the_study_has_the_seven_published_arms_and_the_demo_the_same_in_small() -> None:
    arms = [trial.label for trial in enumerate_trials(load_spec("study"))]
    assert arms == [
        "full adamw",
        "lora r1 adamw",
        "lora r10 adamw",
        "lora r100 adamw",
        "lora r1 sgd",
        "lora r1 momentum",
        "lora r1 nesterov",
    ]
    assert [trial.label for trial in enumerate_trials(load_spec("demo"))] == arms


def test_optimizers_are_compared_with_everything_else_equal_except_in_the_published_variant() -> None:
    def others(overrides: list[str]) -> list[dict[str, Any]]:
        trials = enumerate_trials(load_spec("optimizers", overrides))
        return [t.model_dump(exclude={"optimizer", "momentum", "betas"}) for t in trials]

    ours = others([])
    assert len(ours) == 4
    assert all(values == ours[0] for values in ours)
    published = others(["variant=published"])
    assert [(p["lr"], p["weight_decay"]) for p in published] == [(1e-4, 0.1), (2e-4, 1e-6), (1e-4, 0.1), (2e-4, 1e-6)]
    assert all(p["also_train"] == ("embeddings", "biases", "layernorms") for p in published)
    assert all("head" in p["targets"] and p["tie_head"] is False and p["alpha"] == 1 for p in published)


def test_words_and_tables_that_were_made_for_other_trials_are_not_inherited(tmp_path: Path) -> None:
    space = [{"method": "lora", "rank": 1, "optimizer": "adamw", "lr": [1e-4, 1e-3]}]
    own_space = load_spec(write(tmp_path, extends="optimizers", space=space))
    assert own_space.tables == ()
    assert own_space.about == "optimizers with other space"
    tables = [{"title": "Learning rate", "factor": "lr"}]
    own_words = load_spec(write(tmp_path, extends="optimizers", space=space, tables=tables, about="Rates."))
    assert (own_words.about, [table.title for table in own_words.tables]) == ("Rates.", ["Learning rate"])
    longer = load_spec(write(tmp_path, extends="optimizers", trial={"steps": 7}, resources={"cpu": 1}))
    assert longer.about == "optimizers with other trial"
    assert [table.title for table in longer.tables] == ["Optimizer at LoRA rank 1"]
    same = load_spec(write(tmp_path, extends="optimizers", resources={"cpu": 1}))
    assert same.about == preset_about("optimizers")


def test_what_set_changes_is_told_beside_the_words_of_the_spec() -> None:
    about = preset_about("optimizers")
    assert load_spec("optimizers", ["resources.cpu=1"]).about == about
    assert load_spec("optimizers", ["space.0.lr=1e-2", "seeds=2"]).about == f"{about} (with other space.0.lr and seeds)"
    whole = load_spec("optimizers", ["space=[{method: full, optimizer: adamw, lr: [1e-4, 1e-3]}]"])
    assert whole.tables == ()
    assert "with other space" in whole.about
    assert load_spec("optimizers", ["seeds=2", "about=Mine."]).about == "Mine."
    assert "equal in everything else" not in load_spec("optimizers", ["variant=published"]).about


@pytest.mark.parametrize("name", ["demo", "fair", "study"])
def test_presets_of_the_study_have_its_three_tables(name: str) -> None:
    titles = ["Full fine-tuning", "LoRA rank", "Optimizer at LoRA rank 1"]
    assert [table.title for table in load_spec(name).tables] == titles


def test_a_spec_extends_another_and_mappings_merge_key_by_key(tmp_path: Path) -> None:
    trial = {"steps": 5, "batch_size": 2, "block_size": 8, "test_every": 1, "test_windows": 1}
    space = [{"method": "full", "optimizer": "sgd", "lr": 1.0}]
    write(tmp_path, "below.yaml", trial=trial, space=space, reward={"model": None})
    spec = load_spec(
        write(tmp_path, extends="below.yaml", trial={"steps": 7}), ["trial.batch_size=3", "space.0.lr=1e-3"]
    )
    assert spec.name == "mine"
    assert spec.trial["steps"] == 7
    assert spec.trial["batch_size"] == 3
    assert spec.space[0]["lr"] == 1e-3  # YAML 1.1 alone would read text
    write(tmp_path, "below.yaml", extends="mine.yaml")
    with pytest.raises(UserError, match=r"extends itself"):
        load_spec(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trial.stepss=3", "trial.stepss: unknown key (did you mean 'steps'?); accepted: method, rank"),
        ("modle.name=x", "modle: unknown key (did you mean 'model'?); accepted: name, about"),
        ("resources.gpus=1", "resources.gpus: unknown key (did you mean 'gpu'?); accepted: cpu, gpu"),
        ("trial.steps=ten", "trial.steps: 'ten' is not accepted; accepted: a whole number from 1 to"),
        ("trial.steps=0", "trial.steps: 0 is not accepted; accepted: a whole number from 1 to"),
        ("space.0.rank=4", "space[0].rank: 4 is not accepted under method 'full', which has no rank"),
        ("space.1.rank=null", "space[1].rank: missing; method 'lora' needs a rank of 1 or more"),
        ("space.0.optimizer=adan_w", "space[0].optimizer: 'adan_w': accepted: sgd, momentum, nesterov, adamw"),
        ("space.0.optimizer=nero", "space[0].optimizer: 'nero': not accepted: its licence, CC BY-NC-SA 4.0"),
        ("space.0.optimizer_options={eps: 1}", "space[0].optimizer_options"),
        (
            "space.0.momentum=0.9",
            "0.9 is not accepted under optimizer 'adamw', which has no momentum",
        ),
        (
            "space.0.lr={low: 1e-4, high: 1e-2}",
            "space[0].lr: a range is accepted under search 'random', 'optuna'",
        ),
        ("space.0.lr=[]", "space[0].lr: [] is not accepted"),
        ("space.0.seed=3", "space[0].seed: not accepted; replicates are listed under 'seeds'"),
        ("trial.micro_batch=64", "trial.micro_batch: 64 is more than batch_size 8"),
        ("lora.alpha=-1", "lora.alpha: -1 is not accepted; accepted: a number above 0"),
        ("lora.targets=[mlp]", "lora.targets[0]: 'mlp': accepted: attention_in, attention_out"),
        ("variant=pub", "variant: 'pub' is unknown; accepted: published"),
        ("search=random", "trials: missing; search 'random' needs the number of configs to try"),
        ("trials=3", "trials: 3 is not accepted under search 'grid'"),
        ("search=sobol", "search: 'sobol' is not accepted; accepted: 'grid', 'random', 'optuna' or 'tuned'"),
        ("seeds=[1, 1]", "seeds: [1, 1] names one seed twice"),
        ("data.train=nowhere.jsonl", "data.train[0]: nowhere.jsonl: no such file"),
        ("data.train=some text", "data.train[0]: 'some text' is no data source; give local files"),
        ("model.name=./nowhere", "model.name: './nowhere': no such folder"),
        ("model.shape.n_layer=2", "model.shape: accepted under init 'random' only"),
        ("model.init=random", "model.name: 'demo' has weights of its own"),
        ("reward.prompts=nowhere.csv", "reward.prompts: 'nowhere.csv': no such file"),
        (
            "reward={judge: {match: exact}}",
            "reward.prompts: 'study' has no right answers; a judge takes 'test', or a f",
        ),
        (
            "reward={judge: {match: exact, reference: a}, prompts: test}",
            "reward.judge: reference is 'a'; accepted: the",
        ),
        (
            "reward={judge: {match: exact}, prompts: test, model: demo}",
            "reward.model: 'demo' and a judge are named; acc",
        ),
        (
            "reward={judge: {match: alike}, prompts: test}",
            "reward.judge.match: 'alike' is not accepted; accepted: 'exa",
        ),
        ("reward.template=hello", "reward.template: 'hello': the text '{prompt}' is missing from it"),
        ("tables.0.factor=colour", "tables[0].factor: 'colour' is not a trial's field; accepted: method, rank"),
        ("tables.0.where={colour: 3}", "tables[0].where: {'colour': 3}: 'colour' is not a trial's field"),
        ("variant=[a]", "variant: ['a'] is unknown; accepted: published"),
        ("trial.steps=true", "trial.steps: true is not accepted; accepted: a whole number"),
        ("search_seed=-1", "search_seed: -1 is not accepted"),
        ("max_failures=true", "max_failures: true is not accepted"),
        (
            "resources.gpu=2",
            "resources.gpu: 2 is not accepted; a trial trains on one GPU; accepted: auto, share, 0, 1 or a fraction",
        ),
        ("resources.gpu=1.5", "resources.gpu: 1.5 is not accepted; a trial trains on one GPU; accepted: auto, share,"),
        ("resources.gpu=-1", "resources.gpu: -1 is not accepted; accepted: auto, share, 0, 1 or a fraction"),
        ("resources.gpu=shared", "resources.gpu: 'shared' is not accepted; accepted: auto, share, 0, 1 or a fraction"),
        ("model={name: demo-chat, init: random}", "model.name: 'demo-chat' has weights of its own"),
        ("data.exclude=demo", "data.exclude[0]: 'demo' is no data source"),
        (
            "space.1={method: lora, rank: 1, optimizer: muon, lr: 1, targets: [head]}",
            "muon needs a hidden layer's target",
        ),
        ("trial", "--set 'trial' is not accepted; write --set key=value"),
        ("space.².lr=1", "--set space.².lr: there is no space.²; accepted: 0 to 2 instead of '²'"),
        (f"space.{'9' * 5000}.lr=1", "there is no space.9999"),
        (f"{'a.' * 5000}b=1", "has 5001 parts; no key of a spec has more than a few"),
        ("space.0.lr={low: 1, 3: 4}", "--set space.0.lr: the key 3 is not accepted; accepted: names"),
        ("memory.budget=٦GiB", "memory.budget: '٦GiB': accepted: a size above zero with its unit"),
        ("space.9.rank=1", "--set space.9.rank: there is no space.9; accepted: 0 to 2"),
        ("name.first=x", "--set name.first: name has no keys of its own"),
    ],
)
def test_a_mistake_gets_one_line_with_key_value_and_what_is_accepted(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        candidate_trials(load_spec("demo", [override]))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_switches_are_switched_by_true_and_false() -> None:
    spec = load_spec("lora-ranks", ["trial.compile=true", "trial.precision=bf16"])
    assert all(trial.compile and trial.precision == "bf16" for trial in enumerate_trials(spec))


def test_files_that_are_no_specs_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'demoo' is neither a preset nor a YAML file \(did you mean 'demo'\?\)"):
        load_spec("demoo")
    path = tmp_path / "bad.yaml"
    for content, message in [
        (b"name: [unclosed\n", "line 2: not valid YAML"),
        (b"- a\n- b\n", "a spec is a mapping of keys to values, such as 'extends: demo', not a list"),
        (b"name: caf\xe9\n", r"not UTF-8 text \(byte 9\)"),
        (b"", "not an empty file"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            load_spec(str(path))
    with pytest.raises(UserError, match="space: missing"):
        load_spec(write(tmp_path, name="x"))


def test_a_search_that_was_kept_before_one_could_choose_where_has_chosen_on_test() -> None:
    space = [{"method": "full", "optimizer": "sgd", "lr": {"low": 0.1, "high": 1.0}}]
    kept = {"name": "x", "space": space, "search": "optuna", "trials": 2, "metric": "reward_mean"}
    assert not parse_kept_spec(kept).chooses_on_validation
    now = parse_kept_spec({**kept, "metric": "test_loss", "choose_on": None})
    assert now.chooses_on_validation
    assert parse_kept_spec({**kept, "search": "tuned", "metric": "test_loss"}).chooses_on_validation


def test_a_spec_that_was_kept_when_a_trial_could_ask_for_several_gpus_asks_for_the_one_that_it_used() -> None:
    kept = {"name": "x", "space": [{"method": "full", "optimizer": "sgd", "lr": 0.1}], "resources": {"gpu": 2.0}}
    assert parse_kept_spec(kept).resources.gpu == 1
