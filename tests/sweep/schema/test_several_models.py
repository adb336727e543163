"""A spec with several base models: which trials it makes, what they are called, and which mistakes are told."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

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
    shared = {**TRIAL, "model": "gpt2@main"}
    branches = [FULL, {**FULL, "model": "other"}]
    spec = spec_of(model=["gpt2@main", "owner/other"], trial=shared, space=branches)
    assert models_of(spec) == ["gpt2", "other"]
    assert spec.trial["model"] == "gpt2"  # a commit may take the place of the name


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
    branches = [{**FULL, "model": "./models/two"}, {**FULL, "lr": 1e-4}]
    trial = {**TRIAL, "model": "./models/one"}
    values = {"trial": trial, "model": ["./models/one", {"name": "./models/two"}], "space": branches}
    (tmp_path / "mine.yaml").write_text(json.dumps(values), encoding="utf-8")
    spec = load_spec(str(tmp_path / "mine.yaml"))
    assert models_of(spec) == ["two", "one"]
    assert [part.name for part in spec.models.values()] == [str(tmp_path / "models" / name) for name in ("one", "two")]


def test_a_label_comes_before_a_name_and_a_name_of_two_models_is_none() -> None:
    revisions = [{"name": "gpt2", "revision": "main", "label": "first"}, {"name": "gpt2@old", "label": "gpt2"}]
    assert models_of(spec_of(model=revisions)) == ["first", "gpt2"]
    assert models_of(spec_of(model=revisions, space=[FULL, {**FULL, "model": "gpt2", "lr": 1e-4}])) == [
        *("first", "gpt2", "gpt2"),
    ]
    alike = [{"name": "gpt2@main", "label": "one"}, {"name": "gpt2@old", "label": "two"}]
    with pytest.raises(ValidationError, match="'gpt2' is none of the spec's models; accepted: one, two"):
        spec_of(model=alike, space=[FULL, {**FULL, "model": "gpt2"}])


def test_a_table_may_name_a_model_as_a_branch_does() -> None:
    tables = [{"title": "b", "where": {"model": "owner/b"}}, {"title": "both", "where": {"model": ["gpt2", "b"]}}]
    spec = spec_of(model=["gpt2", "owner/b"], tables=tables)
    assert [table.where["model"] for table in spec.tables] == ["b", ["gpt2", "b"]]


def test_a_name_alone_is_a_mapping_that_is_merged_and_set(tmp_path: Path) -> None:
    (tmp_path / "below.yaml").write_text(json.dumps({"trial": TRIAL, "space": [FULL], "model": "demo"}))
    (tmp_path / "above.yaml").write_text(json.dumps({"extends": "below.yaml", "model": {"label": "mine"}}))
    (tmp_path / "list.yaml").write_text(json.dumps({"extends": "below.yaml", "model": ["demo", "demo-chat"]}))
    above, listed = (load_spec(str(tmp_path / name), ["seeds=1"]) for name in ("above.yaml", "list.yaml"))
    assert [(part.name, part.label) for part in above.models.values()] == [("demo", "mine")]
    assert models_of(listed) == ["demo", "demo-chat"]
    set_one = load_spec(str(tmp_path / "list.yaml"), ["model.1.label=talks"])
    assert models_of(set_one) == ["demo", "talks"]


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
        (
            {"model": ["gpt2", "owner/b"], "space": [{**FULL, "model": "b"}]},
            r"model\[0\]: no branch of space takes 'gpt2'; leave it out of the list",
        ),
        (
            {"model": ["gpt2", "owner/b"], "tables": [{"title": "c", "where": {"model": "c"}}]},
            r"tables\[0\].where.model: 'c' is none of the spec's models",
        ),
        ({"model": ["gpt2"], "trial": {**TRIAL, "model": "c"}}, "trial.model: 'c' is none of the spec's models"),
        ({"space": [{**FULL, "model": "gpt2"}]}, r"space\[0\].model: 'gpt2' is accepted where the spec's `model` is a"),
        ({"model": ["gpt2", {"name": "owner/b", "label": "a/b"}]}, r"model\[1\].label: 'a/b' is not accepted"),
        ({"model": []}, "model: "),
        ({"model": ["gpt2", {"nam": "b"}]}, r"model\[1\].nam: unknown key"),
        ({"model": {"nam": "b"}}, "model.nam: unknown key"),
        (
            {"model": ["gpt2", "owner/b"], "search": "optuna", "trials": 2},
            "search: 'optuna' is not accepted with a list of models",
        ),
    ],
)
def test_a_mistake_is_told_with_the_key_and_what_is_accepted(tmp_path: Path, values: dict[str, Any], told: str) -> None:
    (tmp_path / "mine.yaml").write_text(json.dumps({"trial": TRIAL, "space": [FULL], **values}), encoding="utf-8")
    with pytest.raises(UserError, match=told):
        load_spec(str(tmp_path / "mine.yaml"))
