"""GPUs that tests declare, as torch would describe them."""

from sweep.machine.gpu_facts import GpuFacts

GIB = 2**30


def _gpu(
    name: str, capability: tuple[int, int], gib: int, multiprocessors: int, clock_ghz: float, terabytes: float
) -> GpuFacts:
    """A GPU of so much memory, of which half a GiB is taken; its memory's rate is in terabytes a second."""
    free = gib * GIB - GIB // 2
    return GpuFacts(name, capability, gib * GIB, free, multiprocessors, clock_ghz * 1e9, terabytes * 1e12)


H100 = _gpu("NVIDIA H100 80GB HBM3", (9, 0), 79, 132, 1.98, 3.35)
A100 = _gpu("NVIDIA A100-SXM4-80GB", (8, 0), 79, 108, 1.41, 2.04)
T4 = _gpu("Tesla T4", (7, 5), 15, 40, 1.59, 0.32)
V100 = _gpu("Tesla V100-SXM2-16GB", (7, 0), 16, 80, 1.53, 0.9)
