"""docs/spec.md and --explain: every key of the schema, and examples that work."""

from pathlib import Path
from typing import Any

import pytest

from basis.errors import UserError
from basis.packages import ROOT
from sweep.mistakes.accepted import part_at
from sweep.schema.sweep_spec import SET_BY_THE_SWEEP, SweepSpec
from sweep.search_space import candidate_trials
from sweep.spec_file.keys import all_keys, sections
from sweep.spec_file.load import load_spec, parse_spec
from sweep.spec_file.read_yaml import parse_yaml
from sweep.spec_file.reference import EXAMPLE, SEARCHES, SEED_FORMS, SPACE_FORMS, Form, explain_key, reference
from sweep.trial.config import TrialConfig

SIZES = {"steps": 1, "batch_size": 1, "block_size": 8, "test_every": 1, "test_windows": 1}
BRANCH = {"method": "lora", "rank": 1, "optimizer": "adamw", "lr": [1e-4, 1e-3]}


def names_of(place: tuple[str | int, ...]) -> list[str]:
    """The dotted names of all keys within a part of a spec."""
    part = SweepSpec if not place else part_at(SweepSpec, place)
    if part is None:
        return []
    names = []
    for field in part.model_fields:
        below = (*place, field, 0) if field == "tables" else (*place, field)
        names += [".".join(step for step in below if isinstance(step, str)), *names_of(below)]
    return names


def test_the_page_is_the_schemas() -> None:
    page = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    assert page == reference(), "write it anew: python -m sweep.spec_file.reference > docs/spec.md"


def test_every_key_of_a_spec_and_every_field_of_a_trial_is_told_once() -> None:
    of_trials = [field for field in TrialConfig.model_fields if field not in SET_BY_THE_SWEEP]
    told = [key.name for key in all_keys()]
    assert sorted(told) == sorted([*names_of(()), *of_trials, "extends", "variants"])
    on_the_page = {key.name for section in sections() for key in section.keys}
    parts = {name for name in told if any(other.startswith(f"{name}.") for other in told)}
    assert set(told) - on_the_page <= parts
    assert told.count("model") == 2, "which weights, and which of several a trial takes"


def test_every_key_has_a_sentence_what_it_takes_and_a_default() -> None:
    for key in all_keys():
        assert key.meaning.endswith("."), key
        assert key.accepted, key
        assert key.default or part_at(SweepSpec, key.name.split(".")) or key.name == "tables", key


def test_the_example_at_the_top_is_a_spec(tmp_path: Path) -> None:
    (tmp_path / "dialogues.jsonl").write_text('{"chosen": "x"}\n', encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(EXAMPLE, encoding="utf-8")
    assert len(candidate_trials(load_spec(str(tmp_path / "mine.yaml")))) == 5 * 3


@pytest.mark.parametrize("form", [*SPACE_FORMS, *SEARCHES, *SEED_FORMS], ids=lambda form: form.example)
def test_each_form_that_is_shown_is_accepted(form: Form) -> None:
    given: dict[str, Any] = parse_yaml(form.example, form.name)
    if form in SPACE_FORMS:
        given = {"space": [{**BRANCH, **given}]}
    if form.name == "default":
        given |= {"search": "tuned", "trials": 5}
    if form.name in ("range", "tuned"):
        given = {"search": "tuned", "trials": 5, "space": [{**BRANCH, "lr": {"low": 1e-5, "high": 1e-3}}], **given}
    assert candidate_trials(parse_spec({"name": "x", "trial": SIZES, "space": [BRANCH], **given}))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("lr", ["lr\n", "Peak learning rate", "a number above 0", "required", "in a branch of space, or under trial"]),
        ("space[0].rank", ["rank\n", "applies: under method lora", "or under lora"]),
        ("space.0.momentum", ["0.9 under momentum and nesterov, 0.95 under muon"]),
        ("reward.temperature", ["reward.temperature\n", "default: 0.9"]),
        ("temperature", ["reward.temperature\n"]),
        ("seed", ["model.seed\n", "reward.seed\n"]),
        ("tables[0].factor", ["tables.factor\n", "a field of a trial"]),
        ("reward", ["reward\n", "reward.top_k\n", "reward.new_tokens\n"]),
        ("model", ["model.shape\n"]),
        ("lora", ["what every LoRA trial shares", "b_lr_ratio\n"]),
        ("seeds", ["seeds: {min: 3, max: 8}"]),
        ("extends", ["The spec that this one changes"]),
    ],
)
def test_a_key_is_explained_by_any_name_that_messages_use(key: str, words: list[str]) -> None:
    told = explain_key(key)
    assert [word for word in words if word not in told] == []


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("lora_alpha", "'lora_alpha': unknown key; here it is alpha, such as alpha: 32"),
        ("temprature", "'temprature': unknown key (did you mean 'temperature'"),
        ("reward.tempratur", "did you mean 'reward.temperature'"),
        ("evaluate_on", "'evaluate_on': no key of a spec; it follows from 'search'"),
        ("xyz", "'xyz': unknown key; accepted: name, about"),
        ("", "'': unknown key; accepted: name, about"),
    ],
)
def test_an_unknown_key_is_answered_in_one_line_with_what_may_be_meant(key: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        explain_key(key)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
