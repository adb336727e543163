"""How long a sweep will take yet, from the paces of its trials."""

import heapq
from collections.abc import Iterable, Mapping
from statistics import fmean

from sweep.progress.progress import Progress, State, TrialProgress

AT_ONCE_SECONDS = 60.0
"""How many trials run at once is the most that did within the last so many seconds."""


def seconds_left(progress: Progress, now: float) -> float | None:
    """How long the sweep will take yet; None while no trial has shown a pace, 0 when it is over.

    A running trial goes on at its own pace and is then judged as others were. A waiting one takes what trials of its
    kind take for each step, or else all trials. Waiting trials start in their order as others end, as many at once as
    ran at once lately.

    Args:
        progress: how far the sweep is.
        now: in seconds since 1970.
    """
    if progress.over is not None:
        return 0.0
    trials = list(progress.trials.values())
    seconds_per_step = _seconds_per_step(trials)
    if not seconds_per_step:
        return None
    usual = fmean(seconds_per_step.values())
    judging = [t.metrics.get("reward_seconds", 0.0) for t in trials if t.state == State.FINISHED]
    judging_seconds = fmean(judging) if judging else 0.0

    def whole(trial: TrialProgress) -> float:
        return seconds_per_step.get(trial.planned.kind, usual) * trial.planned.steps

    running = [trial for trial in trials if trial.state == State.RUNNING]
    ends = [_running_left(trial, whole(trial), judging_seconds, now) for trial in running]
    waiting = [whole(trial) for trial in trials if trial.state == State.WAITING]
    unknown = max(0, progress.total - len(trials))
    waiting += [fmean(map(whole, trials))] * unknown
    ends += [0.0] * (_at_once(trials, now) - len(ends))
    heapq.heapify(ends)
    for seconds in waiting:
        heapq.heappush(ends, heapq.heappop(ends) + seconds)
    return max(ends)


def _seconds_per_step(trials: Iterable[TrialProgress]) -> dict[str, float]:
    """What a step takes in each kind of trial, evaluation and judging included: finished trials say it best."""
    finished: dict[str, list[float]] = {}
    running: dict[str, list[float]] = {}
    for trial in trials:
        metrics = trial.metrics  # another thread may replace them
        if not (step := metrics.get("step")):
            continue
        if trial.state == State.FINISHED:
            finished.setdefault(trial.planned.kind, []).append(duration_seconds(trial) / step)
        elif trial.state == State.RUNNING:
            running.setdefault(trial.planned.kind, []).append(_worked_seconds(metrics) / step)
    return {kind: fmean(seconds) for kind, seconds in (running | finished).items()}


def trial_seconds_left(trial: TrialProgress, now: float) -> float | None:
    """What is left of a running trial's training and evaluation at its own pace; None before it has one."""
    metrics = trial.metrics  # another thread may replace them
    if not (step := metrics.get("step")) or trial.reported is None:
        return None
    left = _worked_seconds(metrics) / step * (trial.planned.steps - step)
    return max(0.0, left - (now - trial.reported))


def _running_left(trial: TrialProgress, whole_seconds: float, judging_seconds: float, now: float) -> float:
    """What is left of a running trial: at its own pace once it has one, or else of what its kind takes."""
    left = trial_seconds_left(trial, now)
    if left is None:
        return max(0.0, whole_seconds - (now - (now if trial.started is None else trial.started)))
    return left + judging_seconds


def _worked_seconds(metrics: Mapping[str, float]) -> float:
    """What a trial with these metrics has spent so far, over all its runs."""
    return sum(metrics.get(name, 0.0) for name in ("train_seconds", "evaluation_seconds", "reward_seconds"))


def duration_seconds(trial: TrialProgress) -> float:
    """How long an ended trial took: by the clock, or by its rows where it has only replayed them."""
    by_rows = _worked_seconds(trial.metrics)
    return by_rows if trial.started is None or trial.ended is None else max(by_rows, trial.ended - trial.started)


def _at_once(trials: Iterable[TrialProgress], now: float) -> int:
    """How many trials run at once: the most that did lately, at least 1."""
    spans = [(t.started, t.ended if t.ended is not None else now) for t in trials if t.started is not None]
    recent = [(start, end) for start, end in spans if end >= now - AT_ONCE_SECONDS]
    changes = sorted([(start, 1) for start, _ in recent] + [(end, -1) for _, end in recent])
    most = running = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return max(1, most)
