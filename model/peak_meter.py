"""Measures a trial's peak memory while it trains, and what the peak was made of."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile

from model.ledger import MemoryParts, TensorLedger
from model.memory import state_tensors, weight_bytes
from model.sft import SFTRun

T = TypeVar("T")


class PeakMeter:
    """Measures one trial's peak memory and retained delta. Made when the run is ready and training has not begun.

    On CUDA the allocator keeps both figures itself, over the whole of training. The CPU allocator keeps none, but
    reports every allocation to PyTorch's profiler: there the first ACCOUNTED_STEPS steps are recorded, and the peak is
    the bytes of weights and buffers plus the most that those steps had allocated at once on top. Every step has the
    same shapes, and from the second on the optimizer's state is there, so the peak of two steps is the peak of all.

    What the peak was made of is counted by a `TensorLedger` in the same steps. What the allocator counts beyond
    tensors (kernels' workspaces, rounding) is put down to activations, so that the parts add up to the peak.
    """

    ACCOUNTED_STEPS = 2

    def __init__(self, run: SFTRun) -> None:
        self._run = run
        self._device = run.device
        self.baseline_bytes = weight_bytes(run.model)
        self.peak_bytes = self.baseline_bytes
        self.retained_delta_bytes = 0
        self.reserved_peak_bytes: int | None = None
        self._accounted = 0
        self._counted = MemoryParts(weights=self.baseline_bytes)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self.baseline_bytes = torch.cuda.memory_allocated(self._device)

    @property
    def source(self) -> str:
        """How the peak is measured, for the report."""
        return "cuda allocator" if self._device.type == "cuda" else "cpu tensors"

    @property
    def accounting(self) -> bool:
        """Whether the next step is recorded, which slows it down."""
        return self._accounted < self.ACCOUNTED_STEPS

    @property
    def parts(self) -> MemoryParts:
        """What the peak so far was made of."""
        known = {**self._counted.as_dict(), "activations": 0}
        return MemoryParts(**{**known, "activations": self.peak_bytes - sum(known.values())})

    def measure(self, step: Callable[[], T]) -> T:
        """Run one training step and take account of what it allocates, also if it fails."""
        if not self.accounting:
            return step()
        ledger = TensorLedger(self._device.type)
        ledger.tag("weights", [*self._run.model.parameters(), *self._run.model.buffers()])
        ledger.tag("optimizer_state", state_tensors(self._run.optimizers))
        profiled = None
        try:
            with ExitStack() as recording:
                if self._device.type == "cpu":
                    activities = [ProfilerActivity.CPU]
                    profiled = recording.enter_context(profile(activities=activities, profile_memory=True))
                recording.enter_context(ledger)
                return step()
        finally:
            self._accounted += 1
            ledger.tag("optimizer_state", state_tensors(self._run.optimizers))
            counted = max(ledger.peaks().values(), key=lambda parts: parts.total)
            self._counted = max(self._counted, counted, key=lambda parts: parts.total)
            if profiled is not None:
                highest, net = _allocations(profiled)
                self.peak_bytes = max(self.peak_bytes, self.baseline_bytes + self.retained_delta_bytes + highest)
                self.retained_delta_bytes += net

    def read(self) -> None:
        """Bring the figures up to date (they already are on the CPU)."""
        if self._device.type == "cuda":
            self.peak_bytes = max(self.peak_bytes, torch.cuda.max_memory_allocated(self._device))
            self.reserved_peak_bytes = torch.cuda.max_memory_reserved(self._device)
            self.retained_delta_bytes = torch.cuda.memory_allocated(self._device) - self.baseline_bytes

    def at_failure(self) -> tuple[int, int]:
        """The peak so far, and what is allocated now that a step has failed and its tensors are still there.

        On a CPU the latter is known of accounted steps alone; afterwards it is what lies between steps.
        """
        self.read()
        return self.peak_bytes, self.baseline_bytes + self.retained_delta_bytes

    def state_dict(self) -> dict[str, Any]:
        """The figures so far, to be carried over a stop."""
        self.read()
        return {
            "peak_bytes": self.peak_bytes,
            "reserved_peak_bytes": self.reserved_peak_bytes,
            "retained_delta_bytes": self.retained_delta_bytes,
            "accounted": self._accounted,
            "counted": self._counted.as_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], as_before: bool) -> None:
        """Continue with the figures of a stopped run; the baseline stays what it was before the run's state came.

        Unless the run goes on `as_before`, with the same micro-batches, its peak is measured anew.
        """
        self.retained_delta_bytes = state["retained_delta_bytes"]
        if as_before:
            self.peak_bytes = state["peak_bytes"]
            self.reserved_peak_bytes = state["reserved_peak_bytes"]
            self._accounted = state["accounted"]
            self._counted = MemoryParts(**state["counted"])


def _allocations(profiled: profile) -> tuple[int, int]:
    """The most bytes allocated at once since the profile began, and the net of allocations and frees at its end."""
    kineto = profiled.profiler
    assert kineto is not None
    assert kineto.kineto_results is not None  # set by leaving the `with` block
    events = [e for e in kineto.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    now = highest = 0
    for event in events:
        now += event.nbytes()  # type: ignore[attr-defined]  # negative for a free; missing from the stubs
        highest = max(highest, now)
    return highest, now
