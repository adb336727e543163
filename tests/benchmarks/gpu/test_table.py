"""What the GPU benchmark measures: that its variants train, and what they are held to on which GPU."""

from dataclasses import replace

import pytest
import torch

from benchmarks.gpu import memory, table
from benchmarks.gpu.runs import MEDIUM, TINY, Variant, build, precisions, random_windows
from benchmarks.gpu.table import targets
from model.batch import Batch
from sweep.machine.gpu_facts import GpuFacts
from tests import gpus

CPU = torch.device("cpu")
FULL, RANK_1 = Variant(None, "bf16"), Variant(1, "bf16")
VARIANTS = dict.fromkeys(
    replace(variant, compile=False)
    for variant, _ in [*table.variants(CPU, quick=False), *memory.configs(low="bf16", other="fp32")]
)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_trains(variant: Variant) -> None:
    assert build(variant, TINY, CPU).train_step(Batch(random_windows(TINY))).isfinite()


def test_ten_configs_have_their_peaks_compared() -> None:
    assert len(set(memory.configs(low="bf16", other="fp32"))) == 10


@pytest.mark.parametrize(
    ("gpu", "bounds"),
    [("NVIDIA H200", [34, 13]), ("NVIDIA H100 80GB HBM3", [46, 13]), ("NVIDIA A100-SXM4-80GB", [13])],
)
def test_a_step_is_held_to_the_goal_of_its_gpu(gpu: str, bounds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: gpu)
    assert [target.bound for target in targets(FULL, MEDIUM, 40.0, 12.0)] == bounds


@pytest.mark.parametrize(
    ("variant", "bounds"),
    [
        (RANK_1, [24, 8]),
        (replace(RANK_1, checkpointing=True), [2.5]),
        (replace(RANK_1, compile=True), [24]),
        (replace(RANK_1, rank=8), []),
        (replace(RANK_1, precision="fp32"), []),
    ],
    ids=str,
)
def test_only_what_has_a_goal_is_held_to_it(
    variant: Variant, bounds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    assert [target.bound for target in targets(variant, MEDIUM, 20.0, 2.0)] == bounds
    assert not list(targets(variant, TINY, 20.0, 2.0))


@pytest.mark.parametrize(
    ("gpu", "has"),
    [(gpus.H100, ["bf16", "fp16", "tf32", "fp32"]), (gpus.T4, ["fp16", "fp32"]), (None, ["bf16", "fp32"])],
    ids=["H100", "T4", "CPU"],
)
def test_a_device_is_measured_in_the_precisions_that_it_has(
    gpu: GpuFacts | None, has: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if gpu is not None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _=None: gpu.capability)
    assert precisions(torch.device("cpu" if gpu is None else "cuda")) == has
