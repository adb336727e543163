"""The Ray adapter, driven by hand as Ray drives it: step, save, restore elsewhere, reset for another trial."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from basis.directory import DIVERGED_FILE
from sweep import trainable
from sweep.inputs import SweepInputs
from sweep.memory.plan import MemoryPlan
from sweep.proposal import Proposal
from sweep.trainable import Trainable
from sweep.trial.model import Execution
from sweep.worker.versions import deciding_versions
from tests.sweep.worker.test_trial_run import config, timeless


def worker(inputs: SweepInputs, trial: dict[str, Any], objective: str | None = None) -> Trainable:
    class Worker(Trainable):
        def setup(self, config: dict[str, Any]) -> None:  # type: ignore[override]
            super().setup(config, {None: inputs}, objective)

    return Worker(trial)


def steps(trainable: Trainable) -> list[dict[str, Any]]:
    rows = [trainable.step()]
    while not rows[-1]["done"]:
        rows.append(trainable.step())
    return rows


def test_a_trial_saved_in_one_worker_and_restored_in_another_continues_to_the_bit(
    inputs: SweepInputs, tmp_path: Path
) -> None:
    trial = config(test_every=3).model_dump(mode="json")
    (tmp_path / "one").mkdir()
    first = worker(SweepInputs(**{**vars(inputs), "checkpoint_seconds": 1e9}), trial)
    first.step()
    first.step()
    (tmp_path / "saved").mkdir()
    first.save_checkpoint(str(tmp_path / "saved"))
    expected = [first.step(), first.step()]
    first.cleanup()
    (inputs.experiment_dir / config(test_every=3).name / "finished.json").unlink()

    second = worker(SweepInputs(**{**vars(inputs), "checkpoint_seconds": 1e9}), trial)
    second.load_checkpoint(str(tmp_path / "saved"))
    rows = steps(second)
    second.cleanup()
    assert timeless(rows[-2:]) == timeless(expected)


def test_a_worker_that_is_reset_reports_what_a_fresh_one_would(inputs: SweepInputs) -> None:
    first, second = config().model_dump(mode="json"), config(method="full", lr=1e-3).model_dump(mode="json")
    fresh = worker(inputs, second)
    expected = steps(fresh)
    fresh.cleanup()
    (inputs.experiment_dir / config(method="full", lr=1e-3).name / "finished.json").unlink()

    reused = worker(inputs, first)
    steps(reused)
    assert reused.reset_config(second)
    assert timeless(steps(reused)) == timeless(expected)
    reused.cleanup()


def test_a_trial_that_cannot_begin_fails_in_its_step_where_ray_can_deal_with_it(inputs: SweepInputs) -> None:
    diverged = config(seed=8)
    (inputs.experiment_dir / diverged.name).mkdir()
    (inputs.experiment_dir / diverged.name / DIVERGED_FILE).write_text("train loss became nan by step 3 (lr 1)")
    reused = worker(inputs, config().model_dump(mode="json"))
    steps(reused)
    assert reused.reset_config(diverged.model_dump(mode="json"))
    with pytest.raises(FloatingPointError, match="nan by step 3"):
        reused.step()
    assert reused.reset_config(config(seed=9).model_dump(mode="json"))
    assert steps(reused)[-1]["finished"]
    reused.cleanup()


def test_what_a_search_algorithm_keeps_in_the_config_is_not_part_of_the_trial(inputs: SweepInputs) -> None:
    trial = {**config().model_dump(mode="json"), "suggested": {"branch": 0}}
    optimised = worker(inputs, trial, objective="win_rate")
    rows = steps(optimised)
    optimised.cleanup()
    assert optimised.trial_run.config == config()
    assert all(math.isnan(row["win_rate"]) for row in rows[:-1])
    assert 0 <= rows[-1]["win_rate"] <= 1


def test_a_node_that_does_not_see_the_experiment_says_so(inputs: SweepInputs, tmp_path: Path) -> None:
    elsewhere = SweepInputs(**{**vars(inputs), "experiment_dir": tmp_path / "not-mounted"})
    with pytest.raises(FileNotFoundError, match="on a cluster --output and SFT_SWEEP_CACHE must lie on shared storage"):
        worker(elsewhere, config().model_dump(mode="json"))


def test_a_node_with_another_version_of_a_library_is_refused_by_name(inputs: SweepInputs) -> None:
    others = replace(inputs, versions={**deciding_versions(), "transformers": "4.0.0"})
    with pytest.raises(RuntimeError, match=r"this node has transformers \S+, and the driver 4.0.0; accepted: nodes"):
        worker(others, config().model_dump(mode="json")).step()
    same = worker(replace(inputs, versions=deciding_versions()), config().model_dump(mode="json"))
    assert "test_loss" in same.step()
    same.cleanup()


@pytest.mark.parametrize(("gpu", "micro_batch"), [("Large", 4), ("Small", 1), ("of a node that came late", 2)])
def test_a_worker_takes_the_plan_for_the_gpu_that_it_has(
    gpu: str, micro_batch: int, inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainable, "gpu_name", lambda: gpu)
    plans = {kind: MemoryPlan(Execution(windows, False), None) for kind, windows in (("Large", 4), ("Small", 1))}
    proposal = Proposal(config(), MemoryPlan(Execution(2, False), None), plans=plans)
    one = worker(inputs, proposal.to_ray())
    assert steps(one)[-1]["micro_batch"] == micro_batch
    one.cleanup()
