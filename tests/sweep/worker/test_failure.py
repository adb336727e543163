"""How trials fail, whoever is left to keep it: in the worker that fails, in the driver where the worker is dead."""

import io
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from ray import tune
from rich.console import Console

from basis.directory import DIVERGED_FILE, FINISHED_FILE, OUTCOME_FILE
from basis.metrics import NOT_JUDGED
from basis.outcome_file import keep_outcome, read_outcome
from basis.outcomes import Ending, Outcome, ending_of_exception
from basis.packages import ROOT
from basis.stages import Stage
from model.sft import SFTRun
from sweep.inputs import SweepInputs
from sweep.tune.endings import Endings
from sweep.tune.event_log import EventLog
from sweep.tune.live import LiveTable
from sweep.tune.shares import RetryAlone
from sweep.worker import judging
from sweep.worker.failure import failure_of
from sweep.worker.opening import open_trial
from tests.sweep.test_trainable import steps, worker
from tests.sweep.worker.test_death import ERROR, LOW, UNEXPECTED, Trial
from tests.sweep.worker.test_trial_run import config, finish


def attempt(inputs: SweepInputs) -> Path:
    """Run a trial as Ray does; its directory."""
    trial = worker(inputs, config().model_dump(mode="json"))
    try:
        steps(trial)
    finally:
        trial.cleanup()
    return inputs.experiment_dir / config().name


def noted(error: Exception) -> Exception:
    error.add_note("what a library adds")
    return error


def raises(error: Exception) -> Any:
    def broken(*_: object, **__: object) -> None:
        raise error

    return broken


def test_a_trial_that_runs_has_no_outcome_and_at_its_end_one(inputs: SweepInputs) -> None:
    trial = worker(inputs, config().model_dump(mode="json"))
    folder = inputs.experiment_dir / config().name
    folder.mkdir()
    keep_outcome(folder, ending_of_exception("ValueError: of an earlier try"))
    trial.step()
    assert not (folder / OUTCOME_FILE).exists()
    steps(trial)
    trial.cleanup()
    ending = read_outcome(folder)
    assert ending is not None
    assert (ending.outcome, ending.reason) == (Outcome.FINISHED, "")
    assert ending.at > inputs.began


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (ValueError("no such thing\nand more of it"), Outcome.FAILED, "ValueError: no such thing"),
        (torch.OutOfMemoryError("CUDA out of memory"), Outcome.OUT_OF_MEMORY, "OutOfMemoryError: in training with "),
        (noted(FloatingPointError("loss became nan")), Outcome.DIVERGED, "FloatingPointError: loss became nan"),
        (FloatingPointError("train loss became nan"), Outcome.DIVERGED, "FloatingPointError: train loss became nan"),
    ],
)
def test_a_failure_is_kept_and_gone_when_a_retry_ends_well(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: Outcome, reason: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(SFTRun, "train_step", raises(error))
        with pytest.raises(Exception, match=reason.partition(": ")[2]):
            attempt(inputs)
    folder = inputs.experiment_dir / config().name
    ending = read_outcome(folder)
    assert ending is not None
    assert ending.outcome == outcome
    assert ending.reason.startswith(reason)
    assert "\n" not in ending.reason
    (folder / DIVERGED_FILE).unlink(missing_ok=True)  # which would diverge again
    attempt(inputs)
    again = read_outcome(folder)
    assert again is not None
    assert again.outcome == Outcome.FINISHED


def test_a_trial_that_diverged_diverges_again_without_training(inputs: SweepInputs) -> None:
    folder = inputs.experiment_dir / config().name
    folder.mkdir()
    (folder / DIVERGED_FILE).write_text("train loss became nan by step 3 (lr 1)")  # an experiment of an older version
    with pytest.raises(FloatingPointError, match="became nan by step 3"):
        attempt(inputs)
    ending = read_outcome(folder)
    assert ending is not None
    assert ending.outcome == Outcome.DIVERGED


def test_a_trial_that_could_not_be_judged_has_finished_and_says_so_until_it_is(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(judging, "evaluate_reward", raises(RuntimeError("the judge is odd")))
        folder = attempt(inputs)
    ending = read_outcome(folder)
    assert ending is not None
    assert ending.outcome == Outcome.FINISHED
    assert ending.reason.startswith("trained, but not judged: ")
    assert NOT_JUDGED in (folder / FINISHED_FILE).read_text()
    attempt(inputs)
    judged = read_outcome(folder)
    assert judged is not None
    assert judged.reason == ""


def test_a_process_that_is_killed_leaves_no_outcome(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from sweep.worker.opening import open_trial
from sweep.worker.failure import failure_kept
with failure_kept(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT)
    assert ran.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "outcome"), [(UNEXPECTED, Outcome.FAILED), (LOW, Outcome.OUT_OF_MEMORY), (ERROR, Outcome.FAILED)]
)
def test_the_driver_keeps_what_a_dead_worker_could_not_where_it_is_not_tried_again(
    tmp_path: Path, text: str, outcome: Outcome
) -> None:
    (tmp_path / "error.txt").write_text(f"Failure # {text}\n")
    trial = Trial(
        name="t", trial_id="t", path=str(tmp_path), error_file=str(tmp_path / "error.txt"), config=config().model_dump()
    )
    with LiveTable(Console(file=io.StringIO())) as live:
        endings = Endings(EventLog(tmp_path / "events.jsonl", live.hear, live.tell))
        endings.on_trial_error(iteration=1, trials=[], trial=trial)
        ending = read_outcome(tmp_path)
        assert ending is not None
        assert ending.outcome == outcome
        endings.on_trial_recover(iteration=1, trials=[], trial=trial)
        assert read_outcome(tmp_path) is None, "it waits to be tried once more"


def test_a_trial_says_itself_how_it_failed_unless_its_process_died(tmp_path: Path) -> None:
    errors = tmp_path / "error.txt"
    assert failure_of(tmp_path, errors, False) is None
    kept = Ending(Outcome.DIVERGED, "FloatingPointError: x", 3.0)
    keep_outcome(tmp_path, kept)
    errors.write_text(f"Failure # {ERROR}\n")
    assert failure_of(tmp_path, errors, False) == kept
    stale = failure_of(tmp_path, errors, False, since=4.0)
    assert stale is not None
    assert stale.reason != kept.reason, "kept by a run before this one"
    errors.write_text(f"Failure # {UNEXPECTED}\n")
    died = failure_of(tmp_path, errors, False)
    assert died is not None
    assert died.reason.startswith("WorkerDiedError: process 13353")


def test_only_a_trial_that_ran_out_of_memory_in_this_run_gets_the_device_to_itself(tmp_path: Path) -> None:
    given: list[object] = []
    trial = SimpleNamespace(
        path=str(tmp_path), status="PENDING", RUNNING="RUNNING", error_file=None, update_resources=given.append
    )
    alone: Any = "the whole device"
    scheduler = RetryAlone(alone, began=100.0)
    scheduler.on_trial_error(None, trial)
    keep_outcome(tmp_path, Ending(Outcome.OUT_OF_MEMORY, "OutOfMemoryError: x", 99.0))
    scheduler.on_trial_error(None, trial)
    keep_outcome(tmp_path, Ending(Outcome.FAILED, "ValueError: x", 101.0))
    scheduler.on_trial_error(None, trial)
    assert given == []
    keep_outcome(tmp_path, Ending(Outcome.OUT_OF_MEMORY, "OutOfMemoryError: x", 101.0))
    scheduler.on_trial_error(None, trial)
    assert given == [alone]


def test_a_trial_that_the_disk_of_its_node_has_failed_is_tried_on_another_that_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    said = tmp_path / "error.txt"
    trial = SimpleNamespace(
        **{"path": str(tmp_path), "status": "PENDING", "RUNNING": "RUNNING", "error_file": str(said)},
        **{"placement_group_factory": tune.PlacementGroupFactory([{"CPU": 2}]), "update_resources": given.append},
    )
    nodes = [{"NodeID": name, "Alive": True, "Resources": {"CPU": cpus}} for name, cpus in (("aa", 2.0), ("bb", 1.0))]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    whole: Any = "the whole device"
    scheduler = RetryAlone(whole)
    said.write_text("Failure # 1 (at noon)\nOSError: the disk is full: x (the disk of node aa)\n", encoding="utf-8")
    scheduler.on_trial_error(None, trial)
    assert given == [], "no other node has two CPUs"
    nodes.append({"NodeID": "cc", "Alive": True, "Resources": {"CPU": 2.0}})
    scheduler.on_trial_error(None, trial)
    selector = {"ray.io/node-id": "!in(aa)"}
    assert given == [tune.PlacementGroupFactory([{"CPU": 2}], bundle_label_selector=[selector])]
    said.write_text(said.read_text(encoding="utf-8") + "Failure # 2 (later)\nValueError: x\n", encoding="utf-8")
    scheduler.on_trial_error(None, trial)
    assert len(given) == 1, "it has failed last for another reason"


def failed(folder: Path, stage: Stage) -> Trial:
    """A trial as Ray has it when it has failed."""
    settings = config(evaluate_on=stage).model_dump(mode="json")
    return Trial(name=folder.name, trial_id=folder.name, path=str(folder), error_file=None, config=settings)


def test_a_trial_whose_every_step_is_skipped_in_fp16_has_diverged_however_short_it_is(inputs: SweepInputs) -> None:
    trial = open_trial(config(precision="fp16"), inputs)
    assert trial._training is not None
    scaler = trial._training.run.scaler
    trial.advance()
    scaler.load_state_dict({**scaler.state_dict(), "scaler": {**scaler.state_dict()["scaler"], "scale": 2.0**80}})
    with pytest.raises(FloatingPointError, match=r"fp16 by step 9 \(lr .* 9 steps changed nothing, .* accepted: bf16"):
        finish(trial)


def test_a_trial_whose_gradients_overflow_in_fp16_at_any_scale_ends_early(inputs: SweepInputs) -> None:
    trial = open_trial(config(precision="fp16"), inputs)
    assert trial._training is not None
    trial.advance()
    trial._training.run.model.transformer.ln_f.weight.data.mul_(1e30)
    scaler = trial._training.run.scaler
    scaler.load_state_dict({**scaler.state_dict(), "scaler": {**scaler.state_dict()["scaler"], "scale": 0.5}})
    with pytest.raises(FloatingPointError, match="by step 2"):
        trial.advance()


def test_a_tuning_trial_that_diverged_is_no_failure_of_the_sweep(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", lambda event: None, print)
    endings = Endings(log)
    for stage, outcome in (
        (Stage.TUNING, Outcome.DIVERGED),
        (Stage.TUNING, Outcome.FAILED),
        (Stage.PLAIN, Outcome.DIVERGED),
    ):
        name = f"{stage.name} {outcome.name}"
        (tmp_path / name).mkdir()
        keep_outcome(tmp_path / name, Ending(outcome, "why"))
        trial = failed(tmp_path / name, stage)
        endings.on_trial_error(0, [], trial)
    assert endings.counts(3, True, None).failed == 2
    later = Endings(log, began=time.time() + 1)  # what is kept is of the run before
    diverged = tmp_path / f"{Stage.TUNING.name} {Outcome.DIVERGED.name}"
    later.on_trial_error(0, [], failed(diverged, Stage.TUNING))
    assert later.counts(1, True, None).failed == 1
