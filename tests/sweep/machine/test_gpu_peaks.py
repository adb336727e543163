"""The peak of a GPU's dense products against what NVIDIA publishes."""

from dataclasses import replace

import pytest

from basis.fields import Precision
from sweep.machine.gpu_facts import GpuFacts
from sweep.machine.gpu_peaks import peak_flops
from tests.gpus import A100, H100, T4, V100

L4 = GpuFacts("NVIDIA L4", (8, 9), 0, 0, 58, 2.04e9)
A10 = GpuFacts("NVIDIA A10", (8, 6), 0, 0, 72, 1.695e9)
RTX_4090 = GpuFacts("NVIDIA GeForce RTX 4090", (8, 9), 0, 0, 128, 2.52e9)
RTX_5090 = GpuFacts("NVIDIA GeForce RTX 5090", (12, 0), 0, 0, 170, 2.407e9)


@pytest.mark.parametrize(
    ("gpu", "teraflops"),
    [
        (V100, {"fp32": 15.7, "fp16": 125}),
        (T4, {"fp32": 8.1, "fp16": 65}),
        (A100, {"fp32": 19.5, "tf32": 156, "fp16": 312, "bf16": 312}),
        (A10, {"fp32": 31.2, "tf32": 62.5, "bf16": 125}),
        (L4, {"fp32": 30.3, "tf32": 60, "bf16": 121}),
        (RTX_4090, {"fp32": 82.6, "tf32": 82.6, "bf16": 165.2}),
        (RTX_5090, {"fp32": 104.8, "tf32": 104.8, "bf16": 209.5}),
    ],
    ids=lambda value: value.name if isinstance(value, GpuFacts) else "",
)
def test_the_peak_is_that_of_the_data_sheet(gpu: GpuFacts, teraflops: dict[Precision, float]) -> None:
    for precision, published in teraflops.items():
        assert peak_flops(gpu, precision) == pytest.approx(published * 1e12, rel=0.02)


def test_an_h100_is_rated_at_a_lower_clock_in_its_tensor_cores_than_it_reports() -> None:
    assert peak_flops(H100, "fp32") == pytest.approx(67e12, rel=0.02)
    rated = replace(H100, clock_hz=1.83e9)
    assert peak_flops(rated, "bf16") == pytest.approx(989e12, rel=0.01)
    assert peak_flops(rated, "tf32") == pytest.approx(494e12, rel=0.01)


def test_nothing_is_made_up_for_a_gpu_a_precision_or_a_clock_that_is_not_known() -> None:
    assert peak_flops(T4, "bf16") is None
    assert peak_flops(replace(H100, capability=(6, 1)), "fp32") is None
    assert peak_flops(replace(H100, clock_hz=0.0), "fp32") is None
