"""The worker's side of the step benchmark: wait for an order, time one step, report it."""

import gc
import json
import re
import statistics
import sys
import time
from pathlib import Path
from typing import TextIO

import torch

SGEMM_SIZE = 1024
SGEMM_REPEATS = 5
MIB = 2**20


class Sgemm:
    """A matrix product of fixed size. Its speed tells how fast the machine is at this moment."""

    def __init__(self) -> None:
        self.a, self.b = torch.rand(2, SGEMM_SIZE, SGEMM_SIZE)
        self.out = torch.empty(SGEMM_SIZE, SGEMM_SIZE)

    def gflops(self) -> float:
        """GFLOP per second of CPU time, as the median of SGEMM_REPEATS products."""
        return 2 * SGEMM_SIZE**3 / statistics.median(self._seconds() for _ in range(SGEMM_REPEATS)) / 1e9

    def _seconds(self) -> float:
        start = time.process_time()
        torch.mm(self.a, self.b, out=self.out)
        return time.process_time() - start


class PeakMemory:
    """The growth of the process's peak resident memory since this object was made; unknown outside Linux."""

    def __init__(self) -> None:
        gc.collect()
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM to the present size
            self.start: int | None = status_bytes("VmRSS")
        except OSError:
            self.start = None

    def growth_mib(self) -> float | None:
        """Peak minus start, MiB."""
        return None if self.start is None else (status_bytes("VmHWM") - self.start) / MIB


def status_bytes(field: str) -> int:
    """A size of this process that Linux tells, such as VmHWM, its peak resident memory.

    Raises:
        OSError: it does not tell.
    """
    found = re.search(rf"^{field}:\s*(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise OSError(f"/proc/self/status has no {field}")
    return int(found[1]) * 1024


class Pace:
    """Lets a worker do one step for each line of `orders`, and writes one JSON line for each step to `reports`.

    `begin` and `end` stand around whatever belongs to a step. Time is the process's CPU time, so that other work on
    the machine costs a step only what it takes from caches and clock rate; for that, the sgemm is timed beside it.
    """

    def __init__(self, orders: TextIO, reports: TextIO) -> None:
        self.orders = orders
        self.reports = reports
        self.sgemm = Sgemm()
        self.memory: PeakMemory | None = None
        self.gflops_before = self.wall_start = self.cpu_start = 0.0

    def begin(self) -> None:
        """Wait for the next order and start the clock. The end of the orders ends the process."""
        if self.memory is None:
            self.sgemm.gflops()  # the library's own buffers belong to the baseline, too
            self.memory = PeakMemory()
            self._report({"ready": True})
        if not self.orders.readline():
            sys.exit()
        self.gflops_before = self.sgemm.gflops()
        self.wall_start, self.cpu_start = time.perf_counter(), time.process_time()

    def end(self, loss: float) -> None:
        """Stop the clock and report the step, whose mean loss in nats per token was `loss`."""
        cpu, wall = time.process_time() - self.cpu_start, time.perf_counter() - self.wall_start
        assert self.memory is not None, "end() before begin()"
        growth = self.memory.growth_mib()
        gflops = (self.gflops_before + self.sgemm.gflops()) / 2
        self._report({"cpu_s": cpu, "wall_s": wall, "sgemm_gflops": gflops, "loss": loss, "growth_mib": growth})

    def _report(self, report: dict[str, float | bool | None]) -> None:
        self.reports.write(json.dumps(report) + "\n")
        self.reports.flush()
