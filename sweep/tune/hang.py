"""Tells of trials that have not reported for long, and ends and retries them if the spec says so.

To Ray, a process that is stopped looks like one that works. So does one that waits for a disk, a lock or a GPU.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep.schema.resources import HangPart
from sweep.tune.pickled_empty import PickledEmpty
from sweep.worker.death import Worker, note_end

TIMES_ITS_PACE = 10
LEAST_MINUTES = 10.0


@dataclass
class Silence:
    """How long a trial has been silent.

    Attributes:
        since: when it was heard of last, in seconds of `time.monotonic`.
        longest: its longest silence so far, in seconds.
        spent: seconds of training and evaluation until its last row.
        said: whether the user has been told of this silence.
    """

    since: float
    longest: float = 0.0
    spent: float = 0.0
    said: bool = False

    def heard(self, now: float, row: Mapping[str, Any]) -> None:
        """The trial has reported a row. A replayed row comes at once, but says how long its training took."""
        spent = row.get("train_seconds", 0.0) + row.get("evaluation_seconds", 0.0)
        self.longest = max(self.longest, now - self.since, spent - self.spent)
        self.since, self.spent, self.said = now, spent, False


class HangWatch(PickledEmpty, tune.Callback):  # type: ignore[misc]  # Ray has no types
    """Tells of each silence that lasts too long, once. It ends the trial's process if the spec wants it tried again."""

    def __init__(self, hang: HangPart, tell: Callable[[str], None]) -> None:
        """`tell` prints a line above the live table."""
        self._hang = hang
        self._print = tell
        self._silences: dict[str, tuple[Any, Silence]] = {}
        """By its id, each trial that has started and not ended."""
        self._longest = 0.0

    def limit_minutes(self, silence: Silence) -> float:
        """How long a trial may be silent: what the spec says, or several times its longest silence so far.

        Before its first report, the longest silence of the other trials counts.
        """
        if self._hang.minutes is not None:
            return self._hang.minutes
        longest = silence.longest or self._longest
        return max(LEAST_MINUTES, TIMES_ITS_PACE * longest / 60)

    # Ray calls these, with keyword arguments of these names.

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial starts, or starts again."""
        self._silences[trial.trial_id] = trial, Silence(time.monotonic())

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial has reported a row."""
        now = time.monotonic()
        _, silence = self._silences.setdefault(trial.trial_id, (trial, Silence(now)))
        silence.heard(now, result)
        self._longest = max(self._longest, silence.longest)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has ended."""
        self._silences.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has failed for good."""
        self._silences.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Ray's loop has gone round, as it does at least every few seconds."""
        now = time.monotonic()
        for trial, silence in self._silences.values():  # and not all of `trials`, which may be thousands
            if silence.said or trial.status != trial.RUNNING:
                continue
            if now - silence.since > 60 * self.limit_minutes(silence):
                silence.said = True
                self._tell(trial, (now - silence.since) / 60)

    def _tell(self, trial: Any, minutes: float) -> None:
        folder, silent = Path(trial.path), f"no report for {minutes:.3g} min"
        worker = Worker.read(folder)
        where = f" ({worker})" if worker else ""
        if not self._hang.retry or worker is None:
            self._print(f"{trial} hangs? {silent}{where}")
            return
        self._print(f"{trial} hangs: {silent}{where}; it is ended")
        with suppress(OSError):  # the reason alone, on a full disk
            note_end(folder, silent)
        there = NodeAffinitySchedulingStrategy(node_id=worker.node_id, soft=False)
        _end_process.options(scheduling_strategy=there).remote(worker.pid)


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _end_process(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)  # which a stopped process heeds too
