"""What trials on other nodes have stored is brought before their end is heard of, and at last of those that run."""

import pytest

from basis.errors import UserError
from sweep.tune.brought import BringTrials


def test_files_of_ended_trials_are_brought_and_at_the_end_those_of_running_ones() -> None:
    brought: list[str] = []
    callback = BringTrials(brought.append, lambda line: None)
    for trial in ("done", "failed", "runs"):
        callback.on_trial_start(0, [], trial)
    callback.on_trial_complete(0, [], "done")
    callback.on_trial_recover(0, [], "failed")
    callback.on_trial_error(0, [], "failed")
    assert brought == ["done", "failed", "failed"]
    callback.bring_running()
    assert brought[3:] == ["runs"]


def test_without_its_files_a_trial_has_not_ended_well_and_one_that_failed_is_told_of() -> None:
    told: list[str] = []

    def bring(trial: str) -> None:
        raise UserError("the store is away")

    callback = BringTrials(bring, told.append)
    for trial in ("done", "runs"):
        callback.on_trial_start(0, [], trial)
    with pytest.raises(UserError):
        callback.on_trial_complete(0, [], "done")
    callback.on_trial_error(0, [], "failed")
    assert told == ["failed: why it failed can't be read (the store is away)"]
    callback.bring_running()
