"""Schedules trials that only wait, by Ray Tune as a sweep's trials are, on a declared GPU that need not exist."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from transformers import GPT2Config

from sweep.cluster.environment import set_ray_environment
from sweep.memory.device import Device
from sweep.schema.resources import Resources
from sweep.trial.config import TrialConfig

TOLERANCE = 1e-6
"""Rounding error of a sum of shares, which are multiples of a hundredth."""


@dataclass(frozen=True)
class Stub:
    """A trial that waits some seconds instead of training. Its first attempts may run out of memory at their end."""

    config: TrialConfig
    seconds: float
    attempts_out_of_memory: int = 0


@dataclass(frozen=True)
class Order:
    """What is to be scheduled, in order, and on what.

    Attributes:
        cpus: CPU cores that are declared beside the GPU.
        experiment_dir: where Ray keeps the trials.
    """

    stubs: tuple[Stub, ...]
    shape: GPT2Config
    device: Device
    resources: Resources
    cpus: int
    experiment_dir: Path


@dataclass(frozen=True)
class Span:
    """One attempt at a trial: when its worker began it and when it ended, in seconds since the epoch."""

    name: str
    share: float
    began: float
    ended: float


@dataclass(frozen=True)
class Sample:
    """The shares of the GPU that Ray has set aside at a moment, including those of workers that start or end."""

    at: float
    granted: tuple[float, ...]


@dataclass(frozen=True)
class Schedule:
    """The attempts and samples of one order. `asked`: the share that each trial asks for at first, by its name."""

    asked: dict[str, float]
    spans: list[Span]
    samples: list[Sample]
    failed: int

    @property
    def makespan(self) -> float:
        """Seconds from the first trial's beginning to the last one's end."""
        return max(span.ended for span in self.spans) - min(span.began for span in self.spans)

    @property
    def mean_at_once(self) -> float:
        """The mean number of trials that run at once, over the makespan."""
        return sum(span.ended - span.began for span in self.spans) / self.makespan

    def together(self, moment: float) -> list[Span]:
        """The attempts that run at a moment."""
        return [span for span in self.spans if span.began <= moment < span.ended]

    @property
    def largest_sum(self) -> float:
        """The largest sum of shares at any moment, by the trials' own records or by Ray's, whichever is larger."""
        recorded = [sum(other.share for other in self.together(span.began)) for span in self.spans]
        return max(*recorded, *(sum(sample.granted) for sample in self.samples))

    def longest_wait(self) -> float:
        """The longest that a trial went without a share while there was room for it, in seconds.

        Taken from Ray's grants, since a worker that starts has its share already and records nothing yet.
        """
        longest, since = 0.0, None
        for sample in self.samples:
            if not self._someone_would_fit(sample):
                since = None
                continue
            since = sample.at if since is None else since
            longest = max(longest, sample.at - since)
        return longest

    def _someone_would_fit(self, sample: Sample) -> bool:
        """Whether there is room at that moment for a trial that has no share and has not ended."""
        over = {span.name for span in self.spans if span.ended <= sample.at}
        waiting = [share for name, share in self.asked.items() if name not in over]
        for share in sample.granted:
            held = min(waiting, key=lambda other: abs(other - share), default=None)
            if held is not None and abs(held - share) < TOLERANCE:
                waiting.remove(held)
        return any(share <= 1 - sum(sample.granted) + TOLERANCE for share in waiting)


def schedule(orders: Sequence[Order]) -> list[Schedule]:
    """Carry out the orders one after another, in one Ray of their own in a fresh process.

    All of them have the CPUs that the first declares.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=set_ray_environment, initargs=(None,)) as pool:
        return pool.submit(_carry_out, tuple(orders)).result()


def _carry_out(orders: tuple[Order, ...]) -> list[Schedule]:
    carried_out: list[Schedule] = import_module("benchmarks.packing_worker").carry_out(orders)  # brings Ray along
    return carried_out
