"""Time left of a sweep, on made-up sweeps whose answer one can work out in the head."""

import pytest

from sweep.progress.events import OverEvent
from sweep.progress.progress import fold
from sweep.progress.terminal import clock
from sweep.progress.time_left import seconds_left
from tests.sweep.progress.made_up import end, planned, row, start, sweep

TRIALS = [planned(f"t{number}") for number in range(6)]
A, B = TRIALS[:2]


def test_nothing_is_known_before_the_first_row() -> None:
    assert seconds_left(fold([sweep(TRIALS), start(A, 1.0)]), 5.0) is None


def test_a_running_trial_goes_on_at_its_pace() -> None:
    progress = fold([sweep([A]), start(A, 0.0), row(A, 4.0, 4, train_seconds=3.0, evaluation_seconds=1.0)])
    assert seconds_left(progress, 4.0) == pytest.approx(6.0)
    assert seconds_left(progress, 6.0) == pytest.approx(4.0)
    assert seconds_left(progress, 60.0) == 0.0


def test_waiting_trials_take_what_finished_ones_took_and_run_as_many_at_once() -> None:
    events = [sweep(TRIALS)]
    for trial in (A, B):
        events += [start(trial, 0.0), row(trial, 10.0, 10, train_seconds=8.0), end(trial, 12.0)]
    assert seconds_left(fold(events), 12.0) == pytest.approx(24.0)  # four of 12 s, two at once


def test_a_waiting_trial_takes_what_its_kind_takes() -> None:
    slow = [planned(f"slow{number}", "lora r10 adamw") for number in range(2)]
    events = [sweep([A, B, *slow])]
    for trial, seconds in ((A, 10.0), (slow[0], 100.0)):
        events += [start(trial, 0.0), row(trial, seconds, 10, train_seconds=seconds), end(trial, seconds)]
    assert seconds_left(fold(events), 200.0) == pytest.approx(110.0)


def test_trials_that_nobody_knows_yet_count_like_the_others() -> None:
    events = [sweep([A], total=3), start(A, 0.0), row(A, 10.0, 10, train_seconds=10.0), end(A, 10.0)]
    assert seconds_left(fold(events), 10.0) == pytest.approx(20.0)


def test_a_longer_trial_takes_longer() -> None:
    longer = planned("longer", steps=30)
    events = [sweep([A, longer]), start(A, 0.0), row(A, 10.0, 10, train_seconds=10.0), end(A, 10.0)]
    assert seconds_left(fold(events), 10.0) == pytest.approx(30.0)


def test_a_replayed_trial_took_what_its_rows_say() -> None:
    events = [sweep([A, B]), start(A, 0.0), row(A, 0.1, 10, train_seconds=9.0), end(A, 0.2)]
    assert seconds_left(fold(events), 0.2) == pytest.approx(9.0)


def test_a_judged_sweep_counts_the_judging_of_what_runs() -> None:
    finished = [start(A, 0.0), row(A, 15.0, 10, train_seconds=10.0, reward_seconds=5.0), end(A, 15.0)]
    progress = fold([sweep([A, B]), *finished, start(B, 15.0), row(B, 20.0, 5, train_seconds=5.0)])
    assert seconds_left(progress, 20.0) == pytest.approx(10.0)


def test_an_hour_by_which_a_clock_is_set_back_is_no_time_so_far() -> None:
    assert clock(-3600.0) == "0:00"


def test_the_time_left_of_seven_unequal_trials_is_near_once_each_kind_has_begun() -> None:
    """Two run at once, with 3 s of starting, evaluation at each report, and 5 s of judging."""
    kinds = {"a": 0.5, "b": 0.1, "c": 0.2, "d": 0.1, "e": 0.3}
    steps = [("a", 200), ("b", 100), ("c", 50), ("a", 200), ("d", 30), ("e", 100), ("a", 200)]
    trials = [planned(f"t{number}", kind, count) for number, (kind, count) in enumerate(steps)]
    events, free = [sweep(trials)], [0.0, 0.0]
    for trial in trials:
        free.sort()
        now = free[0]
        events.append(start(trial, now))
        now += 3
        for step in range(0, trial.steps + 1, 10):
            train, evaluated, judged = step * kinds[trial.kind], (step // 10 + 1) / 2, 5.0 * (step == trial.steps)
            when = now + train + evaluated + judged
            seconds = {"train_seconds": train, "evaluation_seconds": evaluated, "reward_seconds": judged}
            events.append(row(trial, when, step, **seconds))
        free[0] = when
        events.append(end(trial, when))
    events.sort(key=lambda event: event.time)
    whole = max(free)
    for part, within in ((0.1, 0.1), (0.2, 0.1), (0.4, 0.06), (0.6, 0.03), (0.8, 0.03)):
        now = part * whole
        left = seconds_left(fold(event for event in events if event.time <= now), now)
        assert left == pytest.approx(whole - now, abs=within * whole)


def test_a_sweep_that_is_over_takes_no_time() -> None:
    over = OverEvent(time=1.0, finished=0, failed=0, interrupted=6)
    assert seconds_left(fold([sweep(TRIALS), over]), 1.0) == 0.0
