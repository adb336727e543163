"""Times what a device computes, without what Python takes to launch it."""

import time
from collections.abc import Callable

import torch

from benchmarks.gpu.runs import wait

CALLS, WARM_UP = 15, 3
COVER_WIDTH = 8192
"""Of a product that takes a GPU longer than Python takes to launch what is timed behind it."""


class Stopwatch:
    """Times calls on one device.

    Args:
        device: where the work runs.
        quick: whether two calls suffice.
    """

    def __init__(self, device: torch.device, quick: bool) -> None:
        self.device = device
        self.calls = 2 if quick else CALLS
        if device.type == "cuda":
            self._cover = torch.zeros(COVER_WIDTH, COVER_WIDTH, device=device, dtype=torch.bfloat16)
            self._covered = torch.empty_like(self._cover)

    def microseconds(self, work: Callable[[], object]) -> list[float]:
        """Microseconds of each call of `work`, after a few for warming up."""
        for _ in range(min(WARM_UP, self.calls)):
            work()
        wait(self.device)
        time_call = self._on_gpu if self.device.type == "cuda" else self._on_cpu
        return [time_call(work) for _ in range(self.calls)]

    def _on_gpu(self, work: Callable[[], object]) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.mm(self._cover, self._cover, out=self._covered)
        begin.record()
        work()
        end.record()
        end.synchronize()
        return 1000 * float(begin.elapsed_time(end))  # told in ms

    def _on_cpu(self, work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        return 1e6 * (time.perf_counter() - started)
