"""The peak rate of a GPU's dense products, from its capability, its multiprocessors and its clock."""

from typing import NamedTuple

from basis.fields import Precision
from sweep.machine.gpu_facts import GpuFacts


class Rates(NamedTuple):
    """Floating-point operations of one multiprocessor in one clock, in dense products; 0: it has none of that kind.

    Products in fp16 and bf16 are accumulated in fp32.
    """

    fp32: int
    tf32: int
    fp16: int
    bf16: int


RATES = {
    (7, 0): Rates(fp32=128, tf32=0, fp16=1024, bf16=0),  # Tesla V100 GPU Architecture, 2017
    (7, 5): Rates(fp32=128, tf32=0, fp16=1024, bf16=0),  # Turing GPU Architecture, 2018
    (8, 0): Rates(fp32=128, tf32=1024, fp16=2048, bf16=2048),  # A100 Tensor Core GPU Architecture, 2020
    (8, 6): Rates(fp32=256, tf32=512, fp16=1024, bf16=1024),  # Ampere GA102 GPU Architecture, 2021
    (8, 9): Rates(fp32=256, tf32=512, fp16=1024, bf16=1024),  # Ada GPU Architecture, 2023
    (9, 0): Rates(fp32=256, tf32=2048, fp16=4096, bf16=4096),  # H100 Tensor Core GPU Architecture, 2022
    (10, 0): Rates(fp32=256, tf32=4096, fp16=8192, bf16=8192),  # Blackwell Architecture Technical Brief, 2024
    (12, 0): Rates(fp32=256, tf32=512, fp16=1024, bf16=1024),  # RTX Blackwell GPU Architecture, 2025
}
"""By compute capability, from NVIDIA's white papers: their peaks, without zeros of sparse matrices, over
multiprocessors and clock."""

HALVED = "GeForce"
"""In the name of a GPU whose tensor cores accumulate in fp32 at half the rate (same white papers)."""


def peak_flops(gpu: GpuFacts, precision: Precision) -> float | None:
    """The peak of dense products in FLOP/s at the GPU's highest clock; None if nobody knows it.

    A GPU may not hold that clock under load: an H100 reports 1.98 GHz, and its data sheet reckons tensor cores at 1.83.
    """
    rates = RATES.get(gpu.capability)
    if rates is None:
        return None
    rate: float = rates._asdict()[precision]
    if HALVED in gpu.name and precision != "fp32":
        rate /= 2
    return rate * gpu.multiprocessors * gpu.clock_hz or None
