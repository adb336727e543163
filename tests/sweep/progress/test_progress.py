"""Progress: what a sweep's events come to."""

from sweep.progress.progress import State, fold
from tests.sweep.progress.made_up import end, planned, row, start, sweep

A, B, C = (planned(f"full-adamw-{name}", f"full adamw lr={name}") for name in "abc")


def test_a_trial_goes_from_waiting_to_its_end() -> None:
    events = [sweep([A, B], total=3), start(A, 1.0), row(A, 2.0, 5, test_loss=0.5), end(A, 3.0)]
    assert fold(events[:1]).counts()[State.WAITING] == 3
    assert fold(events[:2]).trials[A.trial].state == State.RUNNING
    progress = fold(events)
    trial = progress.trials[A.trial]
    assert (trial.state, trial.step, trial.metrics["test_loss"]) == (State.FINISHED, 5, 0.5)
    assert progress.counts() == {**dict.fromkeys(State, 0), State.FINISHED: 1, State.WAITING: 2}


def test_a_trial_that_is_tried_again_waits_and_one_that_failed_keeps_its_reason() -> None:
    progress = fold([sweep([A, B]), start(A, 1.0), start(B, 1.0), end(A, 2.0, "retried"), end(B, 2.0, "failed", "why")])
    assert (progress.trials[A.trial].state, progress.trials[A.trial].retries) == (State.WAITING, 1)
    assert (progress.trials[B.trial].state, progress.trials[B.trial].reason) == (State.FAILED, "why")


def test_a_resumed_sweep_keeps_what_has_ended_and_what_ran_waits() -> None:
    events = [sweep([A, B]), start(A, 1.0), end(A, 2.0), start(B, 2.0), sweep([A, B], time=9.0)]
    progress = fold(events)
    assert [trial.state for trial in progress.trials.values()] == [State.FINISHED, State.WAITING]
    assert (progress.began, progress.resumed) == (0.0, 9.0)


def test_the_leader_has_the_lowest_mean_over_its_finished_seeds() -> None:
    other = planned("full-adamw-a2", A.label)
    events = [sweep([A, other, B, C])]
    for trial, loss in ((A, 0.1), (other, 0.5), (B, 0.2), (C, 0.01)):
        events += [start(trial, 1.0), row(trial, 2.0, 10, test_loss=loss)]
    events += [end(A, 3.0), end(other, 3.0), end(C, 3.0, "failed")]
    leader = fold(events).leader
    assert leader is not None
    assert (leader.label, leader.loss, leader.is_final) == (B.label, 0.2, False)
    assert [standing.loss for standing in fold(events).standings()] == [0.2, 0.3]


def test_test_loss_decides_as_soon_as_there_is_one() -> None:
    tuning = [sweep([A, B]), start(A, 1.0), row(A, 2.0, 5, validation_loss=0.1)]
    assert fold(tuning).deciding_loss == "validation_loss"
    progress = fold([*tuning, start(B, 2.0), row(B, 3.0, 5, validation_loss=0.2, test_loss=0.3)])
    assert progress.deciding_loss == "test_loss"
    assert [standing.label for standing in progress.standings()] == [B.label]


def test_losses_of_other_tokenizers_are_not_ranked_in_nats() -> None:
    by_text = sweep([A], losses=("test_bits_per_byte",))
    progress = fold([by_text, start(A, 1.0), row(A, 2.0, 5, validation_loss=0.1)])
    assert (progress.deciding_loss, progress.leader) == (None, None)
