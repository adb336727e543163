"""What a trial trains on."""

from dataclasses import dataclass

from model.predict_memory import DeviceType
from sweep.machine.gpu_facts import GpuFacts

HOPPER = (9, 0)
"""The compute capability from which on cuBLAS takes a larger workspace."""


@dataclass(frozen=True)
class Device:
    """What a trial trains on: the machine's CPU, or one of its GPUs.

    Attributes:
        type: "cpu" or "cuda".
        capacity_bytes: its memory that is free before the sweep starts; None if unknown, as for a GPU that is not here.
        gpus: each kind of GPU that a trial may get; empty if none could be asked.
    """

    type: DeviceType
    capacity_bytes: int | None = None
    gpus: tuple[GpuFacts, ...] = ()

    @property
    def hopper(self) -> bool:
        """Whether a trial may get a GPU of compute capability 9.0 or more."""
        return any(gpu.capability >= HOPPER for gpu in self.gpus)
