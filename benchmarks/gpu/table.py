"""The step table: milliseconds, throughput and peak memory of the training step, variant by variant."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from benchmarks.gpu.parts import rows_or_failure
from benchmarks.gpu.runs import (
    BASE,
    GIB,
    MEDIUM,
    QUICK_TIMING,
    SMALL,
    TINY,
    Timing,
    Variant,
    build,
    precisions,
    predict,
    random_windows,
    release,
)
from benchmarks.step_shapes import Shape
from benchmarks.table import Row, Target
from model.batch import Batch
from model.peak_meter import PeakMeter
from sweep.machine.gpu_facts import machine_gpus
from sweep.machine.gpu_peaks import peak_flops

TIMING = Timing()
SLOW_TIMING = Timing(steps=5, blocks=2)
"""For fp32 without TF32, whose steps take ten times as long."""

TITLE = "The training step"
ABOUT = (
    f"One optimizer step (forward, backward, clipping, fused AdamW) at random weights. Its time is {TIMING} (fp32: "
    f"{SLOW_TIMING}); the device is waited for at the ends of a block alone. `peak GiB` is the CUDA allocator's (on a "
    "CPU the profiler's), from a reset before the first step. `predicted GiB` is what a dry run says of the same step; "
    "it knows nothing of what torch.compile fuses. `TFLOP/s` counts needed operations only, as in the step "
    "benchmark; `MFU` is its share of the GPU's peak at the highest clock (`sweep.machine.gpu_peaks`)."
)
SECONDS = 120

METERED_STEPS = 3
"""Steps before the timed ones: the meter accounts for them, and what they compile or look up is not timed."""

GOAL_MS = {"H200": {"full": 34.0, "lora": 24.0}, "H100": {"full": 46.0, "lora": 33.0}}
"""Goals for gpt2-medium on 8 x 1024 tokens in bf16, by GPU and method; LoRA at rank 1."""
GOAL_GIB = {("full", False): 13.0, ("lora", False): 8.0, ("lora", True): 2.5}
"""Goals for the peak of the same steps, by method and checkpointing."""


def measure(device: torch.device, quick: bool) -> Iterator[Row | Target]:
    """Measure each variant's step, those that matter most first; a compiled one takes half a minute to compile."""
    for variant, shape in variants(device, quick):
        timing = QUICK_TIMING if quick else SLOW_TIMING if variant.precision == "fp32" else TIMING
        label: Row = {"variant": str(variant), "shape": str(shape)}
        yield from rows_or_failure(label, partial(measure_step, variant, shape, device, timing))
        release(device)


def variants(device: torch.device, quick: bool) -> list[tuple[Variant, Shape]]:
    """What is measured, in this order."""
    first, *others = precisions(device)
    rank_1, full = Variant(1, first), Variant(None, first)
    if quick:
        return [(full, TINY), (replace(rank_1, checkpointing=True), TINY)]
    eager = [full, rank_1, replace(full, checkpointing=True), replace(rank_1, checkpointing=True)]
    eager += [replace(rank_1, rank=rank) for rank in (8, 100)]
    small = [(variant, shape) for shape in (BASE, SMALL) for variant in (full, rank_1)]
    slower = [replace(variant, precision=precision) for precision in others for variant in (full, rank_1)]
    compiled = [replace(variant, compile=True) for variant in (full, rank_1)]
    return [
        *((variant, MEDIUM) for variant in eager),
        *small,
        *((variant, MEDIUM) for variant in slower),
        *((variant, MEDIUM) for variant in compiled),
        *((replace(variant, compile=True), shape) for variant, shape in small),
    ]


def measure_step(variant: Variant, shape: Shape, device: torch.device, timing: Timing) -> Iterator[Row | Target]:
    """Measure one variant's step: its row, then its targets."""
    predicted_bytes = predict(variant, shape, device).total
    run = build(variant, shape, device)
    meter = PeakMeter(run)
    windows = random_windows(shape)
    for _ in range(METERED_STEPS):
        meter.train_step(Batch(windows))
    seconds = timing.median_seconds(lambda: run.train_step(Batch(windows)), device)
    meter.read()
    flops = shape.flops(variant.method) / seconds
    peak = peak_flops(machine_gpus().gpus[0], variant.precision) if device.type == "cuda" else None
    yield {
        "variant": str(variant),
        "shape": str(shape),
        "step ms": 1000 * seconds,
        "tokens/s": shape.tokens / seconds,
        "TFLOP/s": flops / 1e12,
        "MFU": None if peak is None else flops / peak,
        "peak GiB": meter.peak_bytes / GIB,
        "predicted GiB": predicted_bytes / GIB,
        "predicted / measured": predicted_bytes / meter.peak_bytes,
    }
    yield from targets(variant, shape, 1000 * seconds, meter.peak_bytes / GIB)


def targets(variant: Variant, shape: Shape, step_ms: float, peak_gib: float) -> Iterator[Target]:
    """The goals of gpt2-medium's step in bf16, on the GPUs that have one."""
    if shape != MEDIUM or variant.precision != "bf16" or variant.rank not in (None, 1):
        return
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    for name, goals in GOAL_MS.items():
        if name in gpu and not variant.checkpointing:
            yield Target(f"step ms, {variant}", step_ms, goals[variant.method], at_least=False)
    goal_gib = GOAL_GIB.get((variant.method, variant.checkpointing))
    if goal_gib is not None and not variant.compile:
        yield Target(f"peak GiB, {variant}", peak_gib, goal_gib, at_least=False)
