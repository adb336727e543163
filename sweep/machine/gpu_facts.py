"""What a GPU is and what trials can do on it, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GpuFacts:
    """One GPU, or one MIG slice of a GPU, as torch on its machine describes it.

    Attributes:
        name: such as "NVIDIA A100-SXM4-80GB".
        capability: compute capability, such as (8, 0).
        total_bytes: its memory.
        free_bytes: its memory that nobody holds.
        multiprocessors: their number.
        clock_hz: the highest clock of a multiprocessor; 0 if unknown.
        memory_bytes_per_second: the most that its memory reads or writes; 0 if unknown.
    """

    name: str
    capability: tuple[int, int]
    total_bytes: int
    free_bytes: int
    multiprocessors: int
    clock_hz: float = 0.0
    memory_bytes_per_second: float = 0.0


def gpu_facts() -> GpuFacts:
    """The first GPU of this process, which must have one. Starts CUDA in it."""
    import torch  # here alone: the values are used without torch

    told = torch.cuda.get_device_properties(0)
    free_bytes, _ = torch.cuda.mem_get_info(0)
    return GpuFacts(
        name=told.name,
        capability=(told.major, told.minor),
        total_bytes=told.total_memory,
        free_bytes=free_bytes,
        multiprocessors=told.multi_processor_count,
        clock_hz=told.clock_rate * 1e3,  # told in kHz
        memory_bytes_per_second=2 * told.memory_clock_rate * 1e3 * told.memory_bus_width / 8,  # twice a clock; bits
    )
