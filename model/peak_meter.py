"""Measures a trial's peak memory while it trains, and what the peak was made of."""

from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from basis.metrics import CPU_PEAK, GPU_PEAK
from model.batch import Batch
from model.ledger import NO_LEDGER, MemoryParts, Part, StepLedger, TensorLedger
from model.sft import UPDATE, SFTRun, pass_name
from model.tensor_bytes import state_tensors, weight_bytes


class PeakMeter:
    """Measures one trial's peak memory and retained delta. Made when the run is ready and training has not begun.

    On CUDA the allocator keeps both figures itself, over the whole of training. The CPU allocator keeps none, but
    reports every allocation to PyTorch's profiler: there the first PROFILED_STEPS steps are recorded, and the peak is
    the bytes of weights and buffers plus the most that those steps had allocated at once on top. Every step has the
    same shapes, and from the second on the optimizer's state is there, so the peak of two steps is the peak of all.

    What the peak is made of, a `TensorLedger` counts in the step after that, whose own peak is left out: under a
    dispatch mode autograd allocates more. What the allocator counts beyond tensors (kernels' workspaces, rounding) is
    put down to activations, so that the parts add up to the peak. A compiled run is not counted, since it would not be
    compiled under a dispatch mode.
    """

    PROFILED_STEPS = 2

    def __init__(self, run: SFTRun) -> None:
        self._run = run
        self._device = run.device
        self.baseline_bytes = weight_bytes(run.model)
        self.peak_bytes = self.baseline_bytes
        self.retained_delta_bytes = 0
        self.reserved_peak_bytes: int | None = None
        self._steps = 0
        self._counted: MemoryParts | None = None
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self.baseline_bytes = torch.cuda.memory_allocated(self._device)

    @property
    def source(self) -> str:
        """How the peak is measured, for the report."""
        return GPU_PEAK if self._device.type == "cuda" else CPU_PEAK

    @property
    def accounting(self) -> bool:
        """Whether the next step is recorded or counted, which slows it down."""
        return self._profiling or self._counting

    @property
    def _profiling(self) -> bool:
        return self._device.type == "cpu" and self._steps < self.PROFILED_STEPS

    @property
    def _counting(self) -> bool:
        return self._steps == self.PROFILED_STEPS and not self._run.settings.compile

    @property
    def parts(self) -> MemoryParts | None:
        """What the peak so far was made of; None before it was counted."""
        if self._counted is None:
            return None
        known = {**self._counted.as_dict(), "activations": 0}
        return MemoryParts(**{**known, "activations": self.peak_bytes - sum(known.values())})

    def train_step(self, batch: Batch) -> Tensor:
        """Have the run take one training step, and take account of what it allocates, also if it fails.

        Arguments and result are those of `SFTRun.train_step`.
        """
        try:
            if self._profiling:
                return self._profile(batch)
            return self._count(batch) if self._counting else self._run.train_step(batch)
        finally:
            self._steps += 1

    def _profile(self, batch: Batch) -> Tensor:
        record = AllocationRecord()
        try:
            with FirstPasses(record.start, record.stop) as passes:
                return self._run.train_step(batch, passes)
        finally:
            self.peak_bytes = max(self.peak_bytes, self.baseline_bytes + self.retained_delta_bytes + record.highest)
            self.retained_delta_bytes += record.net

    def _count(self, batch: Batch) -> Tensor:
        ledger = TensorLedger(self._device.type)
        ledger.tag("weights", [*self._run.model.parameters(), *self._run.model.buffers()])
        ledger.tag("optimizer_state", state_tensors(self._run.optimizers))
        self.read()
        with FirstPasses(ledger.__enter__, lambda: ledger.__exit__(None, None, None), ledger) as passes:
            loss = self._run.train_step(batch, passes)
        self._counted = max(ledger.peaks().values(), key=lambda parts: parts.total)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)  # that of this step is no training step's
        return loss

    def read(self) -> None:
        """Bring the figures up to date. On the CPU they always are."""
        if self._device.type == "cuda":
            self.peak_bytes = max(self.peak_bytes, torch.cuda.max_memory_allocated(self._device))
            self.reserved_peak_bytes = max(self.reserved_peak_bytes or 0, torch.cuda.max_memory_reserved(self._device))
            self.retained_delta_bytes = torch.cuda.memory_allocated(self._device) - self.baseline_bytes

    def at_failure(self) -> tuple[int, int]:
        """The peak so far, and the bytes that are allocated while a failed step's tensors are still there.

        On a CPU the second figure is that of profiled steps; in later steps it is what is allocated between steps.
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
            "steps": self._steps,
            "counted": self._counted.as_dict() if self._counted else None,
        }

    def load_state_dict(self, state: dict[str, Any], as_before: bool) -> None:
        """Continue with the figures of a stopped run; the baseline stays what it was before the run's state came.

        Unless the run goes on `as_before`, with the same micro-batches, its peak is measured anew.
        """
        self.retained_delta_bytes = state["retained_delta_bytes"]
        if as_before:
            self.peak_bytes = state["peak_bytes"]
            self.reserved_peak_bytes = state["reserved_peak_bytes"]
            self._steps = state["steps"]
            self._counted = MemoryParts(**state["counted"]) if state["counted"] else None


class AllocationRecord:
    """What the CPU allocator hands out and takes back, from its reports to PyTorch's profiler.

    Operators are not recorded: they would take ten times the memory. What is left is 2 KB for each allocation and free.

    Attributes:
        highest: the most bytes allocated at once since the record began.
        net: allocations minus frees.
    """

    def __init__(self) -> None:
        self.highest = self.net = 0
        self._profile: profile | None = None

    def start(self) -> None:
        """Begin, or go on."""
        self._profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
        self._profile.start()
        self._profile.toggle_collection_dynamic(False, [ProfilerActivity.CPU])  # operators; memory is still reported

    def stop(self) -> None:
        """End for now, and bring the figures up to date."""
        profiled, self._profile = self._profile, None
        if profiled is None:
            return
        profiled.stop()
        results = profiled.profiler.kineto_results if profiled.profiler is not None else None
        if results is None:  # the profiler itself has failed, which it has raised
            return
        events = [e for e in results.events() if e.name() == "[memory]"]
        events.sort(key=lambda event: event.start_ns())
        for event in events:
            self.net += event.nbytes()  # type: ignore[attr-defined]  # negative for a free; missing from the stubs
            self.highest = max(self.highest, self.net)


def start_threads() -> None:
    """Start the threads that operators and the profiler work with, before memory is limited.

    A thread's stack is memory, too. Where it lacks, the profiler raises, and libgomp ends the process.
    """
    torch.ones(torch.get_num_threads() * 2**16).exp_()  # large enough for every thread to get a part
    record = AllocationRecord()
    record.start()
    record.stop()


PASSES = 2
"""Passes of a step that are accounted for; those after find what the second found."""


class FirstPasses:
    """Has an account of a step go on while the step takes its first PASSES passes, and while it updates.

    So what an account takes does not grow with the number of passes. The step is given this ledger within a `with`
    block.

    Args:
        start: begins the account, or goes on with it.
        stop: ends it for now.
        ledger: told of tensors and moments while the account goes on.
    """

    def __init__(self, start: Callable[[], object], stop: Callable[[], object], ledger: StepLedger = NO_LEDGER) -> None:
        self._start = start
        self._stop = stop
        self._ledger = ledger
        self._going_on = False

    def __enter__(self) -> Self:
        self._start()
        self._going_on = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._going_on:
            self._stop()

    def tag(self, part: Part, tensors: Iterable[Tensor]) -> None:
        """See `StepLedger`."""
        if self._going_on:
            self._ledger.tag(part, tensors)

    def moment(self, name: str) -> None:
        """See `StepLedger`."""
        if self._going_on:
            self._ledger.moment(name)
        if name == pass_name(PASSES):
            self._going_on = False
            self._stop()
        elif name == UPDATE and not self._going_on:
            self._going_on = True
            self._start()
