"""How a trial is opened: what is recorded of it decides how it goes on, and a trial that can't be opened is let go."""

from dataclasses import replace
from typing import Any

import pytest
from filelock import FileLock

from basis.directory import CHECKPOINT_FILE, DIVERGED_FILE, FINISHED_FILE
from basis.metrics import NOT_JUDGED
from sweep.inputs import SweepInputs
from sweep.memory.attempts import Attempt, OutOfMemoryError, add_attempt
from sweep.worker import judging, opening, trial_run
from sweep.worker.opening import Complete, Diverged, GivenUp, Unfinished, Unjudged, open_trial, recorded_state
from tests.sweep.worker.test_trial_run import config, finish

CONFIG = config(steps=2, test_every=1)


def test_each_thing_that_a_trial_leaves_is_a_state_of_its_own(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = inputs.experiment_dir / CONFIG.name
    folder.mkdir()
    assert recorded_state(folder, inputs) == Unfinished(ran_out=None)
    trial = open_trial(CONFIG, inputs)
    trial.advance()
    trial.advance()
    trial.close()
    assert (folder / CHECKPOINT_FILE).exists()
    assert recorded_state(folder, inputs) == Unfinished(ran_out=None)

    attempt = Attempt("training", 2, False, None, 2**20, 0, None, at=1.0)
    add_attempt(folder, attempt)
    assert recorded_state(folder, inputs) == Unfinished(ran_out=attempt)
    add_attempt(folder, replace(attempt, at=2.0))
    assert recorded_state(folder, inputs) == GivenUp(replace(attempt, at=2.0))
    later = replace(inputs, began=3.0)
    assert recorded_state(folder, later) == Unfinished(ran_out=None), "attempts of an earlier run of the sweep"

    (folder / DIVERGED_FILE).write_text("train loss became nan by step 3 (lr 1)")
    assert recorded_state(folder, later) == Diverged("train loss became nan by step 3 (lr 1)")

    (folder / DIVERGED_FILE).unlink()

    def broken(*_: object) -> None:
        raise RuntimeError("no judge")

    with monkeypatch.context() as patched:
        patched.setattr(judging, "evaluate_reward", broken)
        rows = finish(open_trial(CONFIG, later))
    trained: dict[str, Any] = {k: v for k, v in rows[-1].items() if k not in (NOT_JUDGED, "finished")}
    assert recorded_state(folder, later) == Unjudged(rows[:-1], trained)
    judged = finish(open_trial(CONFIG, later))
    assert recorded_state(folder, later) == Complete(judged, base_answers_damaged=False)
    (inputs.experiment_dir / "base" / "responses.jsonl").write_text("{}\n")
    assert recorded_state(folder, later) == Complete(judged, base_answers_damaged=True)


@pytest.mark.parametrize("why", ["diverged", "out of memory"])
def test_a_trial_that_is_refused_keeps_no_lock(inputs: SweepInputs, why: str) -> None:
    folder = inputs.experiment_dir / CONFIG.name
    folder.mkdir()
    if why == "diverged":
        (folder / DIVERGED_FILE).write_text("train loss became nan by step 3 (lr 1)")
    else:
        for _ in range(2):
            add_attempt(folder, Attempt("training", 2, False, None, 2**20, 0, None))
    with pytest.raises((FloatingPointError, OutOfMemoryError)) as refused:
        open_trial(CONFIG, inputs)
    assert refused.value.args
    with FileLock(folder / "trial.lock", timeout=0):
        assert not (folder / FINISHED_FILE).exists()


def test_what_fails_while_a_trial_is_let_go_of_hides_nothing_and_keeps_no_lock(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered, of an earlier call")

    def damaged(*_: object) -> None:
        raise OSError("the first error")

    monkeypatch.setattr(trial_run, "release_memory", broken)
    monkeypatch.setattr(opening, "heal_trial", damaged)
    with pytest.raises(OSError, match="the first error"):
        open_trial(CONFIG, inputs)
    with FileLock(inputs.experiment_dir / CONFIG.name / "trial.lock", timeout=0):
        pass
