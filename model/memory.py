"""Memory accounting: what is allocated by part, the peak while training, and optimizer state without allocating it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from model.optimizers import OptimizerName

T = TypeVar("T")

STATES_PER_PARAMETER: dict[OptimizerName, int] = {"sgd": 0, "momentum": 1, "nesterov": 1, "adamw": 2}
"""State tensors of a parameter's own shape and dtype that each optimizer keeps; scalars such as a step count apart."""


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the distinct storages behind `tensors`: a tied weight or a view counts once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def weight_bytes(model: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return tensor_bytes([*model.parameters(), *model.buffers()])


def gradient_bytes(model: nn.Module) -> int:
    """Bytes of one gradient for everything that trains."""
    return sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)


def optimizer_state_bytes(optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """Bytes of the state tensors that the optimizers hold now (none before the first step)."""
    states = (value for o in optimizers for state in o.state.values() for value in state.values())
    return tensor_bytes(value for value in states if isinstance(value, Tensor))


def expected_state_bytes(model: nn.Module, optimizer: OptimizerName, round_to: int = 1) -> int:
    """Bytes of optimizer state for what trains in `model`, from shapes alone: works on the meta device.

    Args:
        optimizer: one of STATES_PER_PARAMETER.
        round_to: what each tensor's size is rounded up to; CUDA's caching allocator hands out multiples of 512.

    Raises:
        KeyError: the optimizer's state does not have the parameters' shapes (adafactor, muon).
    """
    states = STATES_PER_PARAMETER[optimizer]
    sizes = (p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    return states * sum(-(-size // round_to) * round_to for size in sizes)


@dataclass
class PeakMeter:
    """Measures one trial's peak memory and retained delta. Made when the model is ready and training has not begun.

    On CUDA the allocator keeps both figures itself, over the whole of training. The CPU allocator keeps none, but
    reports every allocation to PyTorch's profiler: there the first PROFILED_STEPS steps are recorded, and the peak is
    the bytes of weights and buffers plus the most that those steps had allocated at once on top. Every step has the
    same shapes, and from the second on the optimizer's state is there, so the peak of two steps is the peak of all.
    """

    model: nn.Module
    device: torch.device
    PROFILED_STEPS = 2

    def __post_init__(self) -> None:
        self.baseline_bytes = weight_bytes(self.model)
        self.peak_bytes = self.baseline_bytes
        self.retained_delta_bytes = 0
        self.reserved_peak_bytes: int | None = None
        self._profiled = 0
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            self.baseline_bytes = torch.cuda.memory_allocated(self.device)

    @property
    def source(self) -> str:
        """How the peak is measured, for the report."""
        return "cuda allocator" if self.device.type == "cuda" else "cpu tensors"

    @property
    def profiling(self) -> bool:
        """Whether the next step is run under the profiler."""
        return self.device.type == "cpu" and self._profiled < self.PROFILED_STEPS

    def measure(self, step: Callable[[], T]) -> T:
        """Run one training step and take account of what it allocates."""
        if not self.profiling:
            return step()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            result = step()
        self._profiled += 1
        highest, net = _allocations(profiled)
        self.peak_bytes = max(self.peak_bytes, self.baseline_bytes + self.retained_delta_bytes + highest)
        self.retained_delta_bytes += net
        return result

    def read(self) -> None:
        """Bring the figures up to date (they already are on the CPU)."""
        if self.device.type == "cuda":
            self.peak_bytes = max(self.peak_bytes, torch.cuda.max_memory_allocated(self.device))
            self.reserved_peak_bytes = torch.cuda.max_memory_reserved(self.device)
            self.retained_delta_bytes = torch.cuda.memory_allocated(self.device) - self.baseline_bytes

    def state_dict(self) -> dict[str, int | None]:
        """The figures so far, to be carried over a stop."""
        self.read()
        return {
            "peak_bytes": self.peak_bytes,
            "reserved_peak_bytes": self.reserved_peak_bytes,
            "retained_delta_bytes": self.retained_delta_bytes,
            "profiled": self._profiled,
        }

    def load_state_dict(self, state: dict[str, int | None]) -> None:
        """Continue with the figures of a stopped run; the baseline stays what it was before the run's state came."""
        self.peak_bytes = int(state["peak_bytes"] or 0)
        self.reserved_peak_bytes = state["reserved_peak_bytes"]
        self.retained_delta_bytes = int(state["retained_delta_bytes"] or 0)
        self._profiled = int(state["profiled"] or 0)


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
