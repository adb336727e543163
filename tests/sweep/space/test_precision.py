"""`precision: auto` becomes one precision for the whole sweep, wherever a spec says it."""

import pytest

from basis.fields import Precision
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import plan_sweep
from sweep.space.precision import settle_precision
from sweep.trial.config import TrialConfig

FULL: dict[str, object] = {"method": "full", "optimizer": "adamw", "lr": 1e-4}
LORA: dict[str, object] = {"method": "lora", "rank": [1, 2], "optimizer": "adamw", "lr": 1e-3}
TRIAL = {"steps": 2, "batch_size": 2, "block_size": 8, "test_every": 1, "test_windows": 1}


def precisions(trial: dict[str, object], space: list[dict[str, object]], native: tuple[Precision, ...]) -> list[str]:
    spec = SweepSpec.model_validate({"name": "x", "trial": {**TRIAL, **trial}, "space": space})
    return [config.settled_precision for config in plan_sweep(settle_precision(spec, native)).candidates]


def test_auto_is_bf16_where_every_device_has_it_and_fp32_elsewhere() -> None:
    assert precisions({"precision": "auto"}, [FULL, LORA], ("fp32", "bf16", "fp16")) == ["bf16"] * 3
    assert precisions({"precision": "auto"}, [FULL, LORA], ("fp32", "fp16")) == ["fp32"] * 3


def test_a_branch_may_have_a_precision_of_its_own() -> None:
    space = [{**FULL, "precision": "fp32"}, LORA]
    assert precisions({"precision": "auto"}, space, ("fp32", "bf16")) == ["fp32", "bf16", "bf16"]


def test_a_list_in_which_auto_meets_itself_runs_no_trial_twice() -> None:
    space: list[dict[str, object]] = [{**FULL, "precision": ["auto", "fp32"]}]
    assert precisions({}, space, ("fp32", "bf16")) == ["bf16", "fp32"]
    assert precisions({}, space, ("fp32",)) == ["fp32"]


def test_a_table_of_trials_with_auto_shows_what_they_became() -> None:
    tables = [{"title": "x", "where": {"precision": "auto"}}, {"title": "y", "where": {"precision": ["auto", "fp32"]}}]
    trial = {**TRIAL, "precision": "auto"}
    spec = SweepSpec.model_validate({"name": "x", "trial": trial, "space": [FULL], "tables": tables})
    shown = [table.where["precision"] for table in settle_precision(spec, ("fp32", "bf16")).tables]
    assert shown == ["bf16", ["bf16", "fp32"]]


def test_a_spec_without_auto_stays_as_it_is() -> None:
    spec = SweepSpec.model_validate({"name": "x", "trial": {**TRIAL, "precision": "fp16"}, "space": [FULL]})
    assert settle_precision(spec, ("fp32", "bf16")) is spec


def test_a_trial_that_still_says_auto_is_never_trained() -> None:
    config = TrialConfig.model_validate({**FULL, **TRIAL, "precision": "auto"})
    with pytest.raises(ValueError, match="precision: auto is settled"):
        _ = config.settled_precision
