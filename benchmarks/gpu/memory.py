"""Peak memory: predicted against measured, for ten configs that differ in whatever a prediction depends on."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from basis.fields import Precision
from benchmarks.gpu.parts import rows_or_failure
from benchmarks.gpu.runs import MIB, Variant, build, precisions, predict, random_windows, release
from benchmarks.measured import largest_part_off
from benchmarks.step_shapes import Shape
from benchmarks.table import Row, Target
from model.batch import Batch
from model.peak_meter import PeakMeter

TITLE = "Peak memory, predicted and measured"
ABOUT = (
    "GPT-2 at random weights. `predicted` comes from the config alone, on tensors without storage. `measured` is the "
    "CUDA allocator's peak over five steps (on a CPU: of two steps by the profiler), without the one whose tensors are "
    "counted; `reserved` is what the allocator held. `largest part off` is the part whose prediction differs most, in "
    "percent of the peak."
)
SECONDS = 50

TOLERANCE = 0.05
"""The largest relative error that is promised on a GPU: what a share of a GPU is given on top of a prediction."""
STEPS = 5
SHAPE = Shape(layers=12, width=768, heads=12, batch=8, block=512)
LONG = replace(SHAPE, batch=2, block=2048)
TINY = Shape(layers=2, width=64, heads=2, batch=4, block=64, vocabulary=1009)


def measure(device: torch.device, quick: bool) -> Iterator[Row | Target]:
    """Measure the peak of each config, and how far its prediction is off."""
    low, *others = precisions(device)
    pairs = [(variant, TINY) for variant, _ in configs(low, others[0])[:2]] if quick else configs(low, others[0])
    for variant, shape in pairs:
        yield from rows_or_failure({"config": str(variant)}, partial(compare, variant, shape, device))
        release(device)


def configs(low: Precision, other: Precision) -> list[tuple[Variant, Shape]]:
    """Ten configs: each method and optimizer, with and without what changes the tensors of a step.

    Muon and Adafactor are in fp32, since fp16, which may be `low`, does not accept them.
    """
    full, rank_1, rank_8 = Variant(None, low), Variant(1, low), Variant(8, low)
    return [
        (full, SHAPE),
        (replace(rank_8, precision=other, dropout=0.1), SHAPE),
        (replace(full, precision="fp32", clip_norm=None), SHAPE),
        (rank_1, LONG),
        (replace(rank_1, checkpointing=True, clip_norm=None), SHAPE),
        (replace(full, precision="fp32", optimizer="muon", tied=False), SHAPE),
        (replace(full, precision="fp32", optimizer="adafactor", checkpointing=True), SHAPE),
        (replace(full, optimizer="sgd", micro_batch=2), SHAPE),
        (replace(rank_8, optimizer="nesterov", micro_batch=1, dropout=0.1), SHAPE),
        (Variant(100, low, optimizer="momentum"), SHAPE),
    ]


def compare(variant: Variant, shape: Shape, device: torch.device) -> Iterator[Row | Target]:
    """Predict and measure one config: its row and its target."""
    predicted = predict(variant, shape, device)
    run = build(variant, shape, device)
    meter = PeakMeter(run)
    windows = random_windows(shape)
    for _ in range(STEPS):
        meter.train_step(Batch(windows))
    meter.read()
    error = predicted.total / meter.peak_bytes - 1
    assert meter.parts is not None  # counted in the third step
    yield {
        "config": str(variant),
        "shape": str(shape),
        "predicted MiB": predicted.total / MIB,
        "measured MiB": meter.peak_bytes / MIB,
        "error %": f"{100 * error:+.2f}",
        "largest part off": largest_part_off(predicted, meter.parts),
        "reserved MiB": None if meter.reserved_peak_bytes is None else meter.reserved_peak_bytes / MIB,
    }
    yield Target(f"error of the predicted peak, {variant}", abs(error), TOLERANCE, at_least=False)
