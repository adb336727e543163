"""A spec with several base models: which trials it makes, what they are called, and which mistakes are told."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from basis.errors import UserError
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import enumerate_trials, plan_sweep
from sweep.spec_file.load import load_spec, parse_kept_spec
from sweep.trial.config import TrialConfig

FULL: dict[str, Any] = {"method": "full", "optimizer": "adamw", "lr": 1e-3}
TRIAL = {"steps": 2, "batch_size": 2, "block_size": 8, "test_every": 1, "test_windows": 1}


def spec_of(**values: Any) -> SweepSpec:
    return SweepSpec.model_validate({"name": "two", "trial": TRIAL, "space": [FULL], **values})


def models_of(spec: SweepSpec) -> list[str | None]:
    return [trial.model for trial in enumerate_trials(spec)]


def test_a_branch_takes_every_model_unless_it_names_its_own() -> None:
    spec = spec_of(model=["gpt2", "owner/other@main"], space=[FULL, {**FULL, "lr": 1e-4, "model": "owner/other"}])
    assert models_of(spec) == ["gpt2", "other", "other"]
    assert [trial.name.partition("-lr")[0] for trial in enumerate_trials(spec)] == [
        "gpt2-full-adamw",
        "other-full-adamw",
        "other-full-adamw",
    ]
    assert models_of(spec_of(model=["gpt2", "owner/other"], trial={**TRIAL, "model": "gpt2"})) == ["gpt2"]


def test_one_model_leaves_trials_the_names_that_they_had() -> None:
    [trial] = enumerate_trials(spec_of(model="gpt2"))
    assert trial.model is None
    before = {name: value for name, value in trial.model_dump(mode="json").items() if name != "model"}
    assert TrialConfig.model_validate(before).name == trial.name
    assert not trial.name.startswith("gpt2")


def test_a_kept_spec_has_the_same_models_and_trials_also_when_a_name_has_become_a_commit() -> None:
    spec = spec_of(model=["gpt2", {"name": "owner/other", "label": "mine"}])
    assert models_of(spec) == ["gpt2", "mine"]
    kept = yaml.safe_load(yaml.safe_dump(spec.model_dump(mode="json")))
    kept["model"][0]["name"] = "gpt2@" + "0" * 40
    again = parse_kept_spec(kept)
    assert [trial.name for trial in enumerate_trials(again)] == [trial.name for trial in enumerate_trials(spec)]


def test_models_are_named_by_folders_beside_the_spec_in_the_list_and_in_branches(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "models" / name).mkdir(parents=True)
    branches = [{**FULL, "model": "./models/two"}, {**FULL, "model": "two", "lr": 1e-4}]
    values = {"trial": TRIAL, "model": ["./models/one", {"name": "./models/two"}], "space": branches}
    (tmp_path / "mine.yaml").write_text(json.dumps(values), encoding="utf-8")
    spec = load_spec(str(tmp_path / "mine.yaml"))
    assert models_of(spec) == ["two", "two"]
    assert [part.name for part in spec.models.values()] == [str(tmp_path / "models" / name) for name in ("one", "two")]


def test_settings_are_chosen_for_each_model_by_itself() -> None:
    branch = {**FULL, "lr": {"low": 1e-5, "high": 1e-3, "log": True}}
    for search in ("tuned", "random"):
        plan = plan_sweep(spec_of(model=["gpt2", "owner/other"], space=[branch], search=search, trials=6))
        assert sorted(sorted({str(trial.model) for trial in group}) for group in plan.groups) == [["gpt2"], ["other"]]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model": ["gpt2", "owner/gpt2"]}, "model.label: 'gpt2' stands for two of the models; accepted: a label"),
        (
            {"model": ["gpt2", "owner/b"], "space": [{**FULL, "model": "c"}]},
            r"space\[0\].model: 'c' is none of the spec's models; accepted: gpt2, b",
        ),
        ({"space": [{**FULL, "model": "gpt2"}]}, r"space\[0\].model: 'gpt2' is accepted where the spec's `model` is a"),
        ({"model": ["gpt2", {"name": "owner/b", "label": "a/b"}]}, r"model\[1\].label: 'a/b' is not accepted"),
        ({"model": []}, "model: "),
        ({"model": ["gpt2", {"nam": "b"}]}, r"model\[1\].nam: unknown key"),
        ({"model": {"nam": "b"}}, "model.nam: unknown key"),
        (
            {"model": ["gpt2", "owner/b"], "search": "optuna", "trials": 2},
            "search: 'optuna' is not accepted with several models",
        ),
    ],
)
def test_a_mistake_is_told_with_the_key_and_what_is_accepted(tmp_path: Path, values: dict[str, Any], told: str) -> None:
    (tmp_path / "mine.yaml").write_text(json.dumps({"trial": TRIAL, "space": [FULL], **values}), encoding="utf-8")
    with pytest.raises(UserError, match=told):
        load_spec(str(tmp_path / "mine.yaml"))
