"""What a trial trains on."""

from collections.abc import Sequence
from dataclasses import dataclass

from basis.fields import PRECISIONS, Precision
from model.predict_memory import DeviceType
from sweep.machine.gpu_facts import GpuFacts
from sweep.machine.hardware import cpu_has_bf16

HOPPER = (9, 0)
"""The compute capability from which on cuBLAS takes a larger workspace."""


@dataclass(frozen=True)
class Device:
    """What a trial trains on: the machine's CPU, or one of its GPUs.

    Attributes:
        type: "cpu" or "cuda".
        capacity_bytes: its memory that is free before the sweep starts; None if unknown, as for a GPU that is not here.
        gpus: each kind of GPU that a trial may get; empty if none could be asked.
        declared_bytes: the memory that the spec says a GPU offers; None where it says nothing.
    """

    type: DeviceType
    capacity_bytes: int | None = None
    gpus: tuple[GpuFacts, ...] = ()
    declared_bytes: int | None = None

    @property
    def hopper(self) -> bool:
        """Whether a trial may get a GPU of compute capability 9.0 or more."""
        return any(gpu.capability >= HOPPER for gpu in self.gpus)

    @property
    def kinds(self) -> dict[str, "Device"]:
        """Each kind of GPU by itself, by its name, where there are several."""
        names = list(dict.fromkeys(gpu.name for gpu in self.gpus))
        alike = {name: [gpu for gpu in self.gpus if gpu.name == name] for name in names}
        return {name: gpu_device(gpus, self.declared_bytes) for name, gpus in alike.items()} if len(names) > 1 else {}

    @property
    def native_precisions(self) -> tuple[Precision, ...]:
        """What it computes in without emulation: a GPU what each kind has, and an unknown GPU fp32 alone."""
        if self.type == "cpu":
            return ("fp32", "bf16") if cpu_has_bf16() else ("fp32",)
        kinds = [gpu.precisions for gpu in self.gpus] or [("fp32",)]
        return tuple(name for name in PRECISIONS if all(name in kind for kind in kinds))


def gpu_device(gpus: Sequence[GpuFacts], declared_bytes: int | None) -> Device:
    """The GPUs that trials get as one device. Of their free memory the least counts, for a trial may get any of them.

    Args:
        gpus: each kind; empty if none could be asked.
        declared_bytes: the memory that the spec says a GPU offers. What each has free is the most.
    """
    known = [*(gpu.free_bytes for gpu in gpus), *([] if declared_bytes is None else [declared_bytes])]
    return Device("cuda", min(known, default=None), tuple(gpus), declared_bytes)
