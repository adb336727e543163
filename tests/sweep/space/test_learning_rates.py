"""`lr: default`: the range that it stands for, the branches that it becomes, and what it is refused for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from basis.errors import SpecError
from basis.learning_rates import default_range
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import SweepPlan, plan_sweep
from sweep.spec_file.load import load_kept_plan, load_plan

FULL = {"low": 2e-6, "high": 2e-4, "log": True}
LORA = {"low": 2e-5, "high": 2e-3, "log": True}
SIZES = {"steps": 2, "batch_size": 2, "block_size": 8, "test_every": 1, "test_windows": 1}


def plan_of(space: list[dict[str, Any]], **more: Any) -> SweepPlan:
    trial = {**SIZES, **more.pop("trial", {})}
    values = {"name": "x", "search": "tuned", "trials": 3, "trial": trial, "space": space, **more}
    return plan_sweep(SweepSpec.model_validate(values))


def rates(plan: SweepPlan) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for trial in plan.candidates:
        found.setdefault((trial.method, trial.optimizer), []).append(trial.lr)
    return found


def test_the_word_stands_for_the_range_of_its_branch() -> None:
    asked = plan_of([{"method": "full", "optimizer": "adamw", "lr": "default"}])
    written = plan_of([{"method": "full", "optimizer": "adamw", "lr": FULL}])
    assert asked.candidates == written.candidates
    assert asked.spec == written.spec
    assert [(one.method, one.rates) for one in asked.default_rates] == [("full", default_range("full", "adamw"))]
    assert not written.default_rates


def test_a_branch_of_several_methods_and_optimizers_becomes_one_for_each_range() -> None:
    lists = [{"method": ["full", "lora"], "optimizer": ["adamw", "muon", "sgd"], "lr": "default"}]
    plan = plan_of(lists, lora={"rank": 8})
    assert plan.spec.space == (
        {"method": "full", "optimizer": ["adamw", "muon"], "lr": FULL},
        {"method": "full", "optimizer": "sgd", "lr": {"low": 3e-3, "high": 3e-1, "log": True}},
        {"method": "lora", "optimizer": ["adamw", "muon"], "lr": LORA},
        {"method": "lora", "optimizer": "sgd", "lr": {"low": 1e-3, "high": 1e-1, "log": True}},
    )
    assert len(plan.groups) == 6
    assert rates(plan)["lora", "muon"] == pytest.approx([2e-5, 2e-4, 2e-3])


def test_the_word_may_stand_under_trial_or_lora() -> None:
    space = [{"method": ["full", "lora"], "optimizer": "adamw"}, {"method": "full", "optimizer": "muon", "lr": FULL}]
    under_trial = plan_of(space, trial={"lr": "default"}, lora={"rank": 8})
    assert [branch["lr"] for branch in under_trial.spec.space] == [FULL, LORA, FULL]
    assert "lr" not in under_trial.spec.trial
    mixed = {"search": "random", "trials": 30, "trial": {"lr": 1e-5}, "lora": {"rank": 8, "lr": "default"}}
    under_lora = plan_of(space[:1], **mixed)
    assert set(rates(under_lora)["full", "adamw"]) == {1e-5}
    assert len(set(rates(under_lora)["lora", "adamw"])) > 1


def refusal(space: list[dict[str, Any]], **more: Any) -> str:
    with pytest.raises(SpecError) as caught:
        plan_of(space, **more)
    return str(caught.value)


def test_under_grid_it_is_refused_with_the_range_to_type() -> None:
    told = refusal([{"method": "lora", "rank": 8, "optimizer": "adamw", "lr": "default"}], search="grid", trials=None)
    assert told == (
        "space[0].lr: 'default' is the range {low: 2e-5, high: 0.002, log: true} for lora adamw, and a range is "
        "accepted under search 'random', 'optuna' or 'tuned'; list values, such as [2e-5, 0.0002, 0.002]"
    )


def test_an_optimizer_without_a_documented_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basis.learning_rates.DEFAULT_RANGES", {})
    told = refusal([{"method": "full", "optimizer": "adamw", "lr": "default"}])
    assert "space[0].lr: 'default' is not accepted for full adamw, of which no range is documented; give one" in told


def test_one_of_a_list_is_refused() -> None:
    told = refusal([{"method": "full", "optimizer": "adamw", "lr": ["default", 1e-4]}])
    assert told == "space[0].lr: 'default' is a range, and can't be one of a list; write lr: default"


def test_mistakes_beside_it_are_told_where_they_were_written() -> None:
    two = {"method": ["full", "lora"], "optimizer": "adamw", "lr": "default"}
    wrong = {"method": "full", "optimizer": "adamx", "lr": "default", "steps": -1}
    told = refusal([two, wrong], lora={"rank": 8}).splitlines()
    assert [line.partition(": ")[0] for line in told] == ["space[1].optimizer", "space[1].steps"]


def test_what_a_sweep_keeps_has_the_ranges_that_the_word_became(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    space = {"method": "full", "optimizer": "adamw", "lr": "default"}
    path.write_text(yaml.safe_dump({"search": "tuned", "trials": 2, "trial": SIZES, "space": space}))
    plan = load_plan(str(path))
    kept = plan.spec.model_dump(mode="json")
    path.write_text(yaml.safe_dump(kept))
    assert kept["space"] == [{"method": "full", "optimizer": "adamw", "lr": FULL}]
    assert load_kept_plan(tmp_path).candidates == plan.candidates


def test_the_fair_preset_tunes_in_the_ranges_that_it_always_had() -> None:
    written = [
        {"method": "full", "optimizer": "adamw", "lr": FULL},
        {"method": "lora", "rank": [1, 10, 100], "optimizer": "adamw", "lr": LORA},
        {"method": "lora", "rank": 1, "optimizer": ["momentum", "nesterov"],
         "lr": {"low": 1e-4, "high": 1e-2, "log": True}},
        {"method": "lora", "rank": 1, "optimizer": "sgd", "lr": {"low": 1e-3, "high": 1e-1, "log": True}},
    ]  # fmt: skip
    assert load_plan("fair").spec.space == tuple(written)
