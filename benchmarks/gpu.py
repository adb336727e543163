"""Measures the training step on a GPU at the study's size: gpt2-medium, 8 x 1024 tokens, bf16.

python -m benchmarks.gpu [--quick] needs torch (2.11 or later), transformers and loralib alone, no Ray.
"""

import gc
import statistics
import time
from dataclasses import dataclass, replace

import torch
from transformers import GPT2LMHeadModel

from basis.fields import Method
from benchmarks.measured import run_alone
from benchmarks.step_shapes import SHAPES, Shape
from benchmarks.table import Row, Table, Target
from model.gpt2_lora import add_adapters, gpt2_config, select_trainable
from model.lora_linear import LoRASettings
from model.optimizers import OptimizerSettings, build_optimizers
from model.peak_meter import PeakMeter
from model.predict_memory import predict_parts
from model.sft import KernelsFor, SFTRun, SFTSettings, training_kernels

MEDIUM = Shape(layers=24, width=1024, heads=16, batch=8, block=1024)
WARM_UP_STEPS, TIMED_STEPS, BLOCKS = 5, 10, 5
BOUND_SECONDS: dict[Method, float] = {"full": 0.034, "lora": 0.024}
"""The goals on one H200; the study needed 1.480 s a step on an A100."""

GIB = 2**30


@dataclass(frozen=True)
class Variant:
    """One way to take the step; `rank` for LoRA."""

    method: Method
    rank: int | None
    precision: str
    compile: bool = False
    checkpointing: bool = False


VARIANTS = [
    Variant("full", None, "bf16"),
    Variant("full", None, "bf16", compile=True),
    Variant("full", None, "bf16", checkpointing=True),
    Variant("lora", 1, "bf16"),
    Variant("lora", 1, "bf16", compile=True),
    Variant("lora", 1, "bf16", checkpointing=True),
    Variant("lora", 100, "bf16", compile=True),
    Variant("full", None, "fp32"),
    Variant("lora", 1, "fp32"),
]
BOUND_GIB = {("full", False): 13.0, ("lora", False): 8.0, ("lora", True): 2.5}
"""The goals for peak memory in bf16, by method and activation checkpointing; the study reserved 42 to 44 GB."""


def measure(quick: bool) -> Table:
    """Measure milliseconds, TFLOP/s and peak memory of a step on the first CUDA device.

    Args:
        quick: take a tiny shape.

    Returns:
        The table; without a CUDA device each row says so.
    """
    about = (
        "One optimizer step (forward, backward, fused AdamW) of gpt2-medium at random weights on 8 x 1024 tokens. "
        f"Seconds are the median of {BLOCKS} blocks of {TIMED_STEPS} steps after {WARM_UP_STEPS} for warming up; the "
        "device is waited for at the ends of a block alone. `peak GiB` is the CUDA allocator's, from a reset before "
        "the first step, and `predicted GiB` what a dry run says of the same step. `TFLOP/s` counts "
        "needed operations only, as in the step benchmark."
    )
    if not torch.cuda.is_available():
        rows: list[Row] = [{"variant": name(variant), "step": "not measured: no CUDA device"} for variant in VARIANTS]
        return Table("gpu", "The training step on a GPU", about, rows)
    shape = SHAPES["tiny"] if quick else MEDIUM
    seconds: dict[Method, list[float]] = {"full": [], "lora": []}
    rows, targets = [], []
    for variant in VARIANTS:
        predicted_bytes = predict(variant, shape)
        step_seconds, peak_bytes = time_steps(variant, shape)
        if variant.precision == "bf16" and variant.rank in (None, 1):
            seconds[variant.method].append(step_seconds)
        rows.append(
            {
                "variant": name(variant),
                "step": f"{1000 * step_seconds:.1f} ms",
                "tokens/s": shape.tokens / step_seconds,
                "TFLOP/s": shape.flops(variant.method) / step_seconds / 1e12,
                "peak GiB": peak_bytes / GIB,
                "predicted GiB": predicted_bytes / GIB,
                "predicted / measured": predicted_bytes / peak_bytes,
            }
        )
        targets += memory_targets(variant, shape, peak_bytes, predicted_bytes)
    targets += [
        Target(f"{method} step in bf16, the faster of plain and compiled, s", min(seconds[method]), bound, False)
        for method, bound in BOUND_SECONDS.items()
        if "H200" in torch.cuda.get_device_name()
    ]
    return Table("gpu", f"The training step on {torch.cuda.get_device_name()}", about, rows, targets)


def memory_targets(variant: Variant, shape: Shape, peak_bytes: int, predicted_bytes: int) -> list[Target]:
    """The targets for memory: a prediction within 5 %, and a peak within its goal.

    A compiled step has none: the prediction knows nothing of what torch.compile fuses.
    """
    if variant.compile:
        return []
    error = abs(predicted_bytes / peak_bytes - 1)
    targets = [Target(f"prediction error, {name(variant)}", error, 0.05, at_least=False)]
    goal = BOUND_GIB.get((variant.method, variant.checkpointing))
    if goal is not None and variant.precision == "bf16" and shape == MEDIUM:
        targets.append(Target(f"peak GiB, {name(variant)}", peak_bytes / GIB, goal, at_least=False))
    return targets


def predict(variant: Variant, shape: Shape) -> int:
    """The predicted peak of a step on this GPU, in bytes."""

    def build_shallow(layers: int, kernels: KernelsFor) -> SFTRun:
        return build(variant, replace(shape, layers=layers), torch.device("cpu"), kernels)

    hopper = torch.cuda.get_device_capability()[0] >= 9
    return predict_parts(build_shallow, shape.layers, shape.batch, shape.block, "cuda", hopper).total


def time_steps(variant: Variant, shape: Shape) -> tuple[float, int]:
    """Time a step: its seconds, and the most bytes allocated at once."""
    device = torch.device("cuda")
    run = build(variant, shape, device)
    meter = PeakMeter(run)
    windows = torch.randint(0, shape.vocabulary, (shape.batch, shape.block + 1))
    for _ in range(WARM_UP_STEPS):
        meter.train_step(windows)
    blocks = []
    for _ in range(BLOCKS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(TIMED_STEPS):
            run.train_step(windows)
        torch.cuda.synchronize()
        blocks.append((time.perf_counter() - started) / TIMED_STEPS)
    meter.read()
    peak_bytes = meter.peak_bytes
    del run, meter
    gc.collect()
    torch.cuda.empty_cache()
    return statistics.median(blocks), peak_bytes


def build(variant: Variant, shape: Shape, device: torch.device, kernels: KernelsFor = training_kernels) -> SFTRun:
    """The run that a trial of the sweep would be, at random weights."""
    torch.manual_seed(0)
    config = gpt2_config(
        "gpt2-medium",
        {
            "n_layer": shape.layers,
            "n_embd": shape.width,
            "n_head": shape.heads,
            "vocab_size": shape.vocabulary,
            "n_positions": shape.block,
        },
    )
    model = GPT2LMHeadModel(config)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if variant.rank is not None:
        add_adapters(model, LoRASettings(variant.rank, alpha=32.0), torch.Generator().manual_seed(0))
    select_trainable(model, variant.method)
    settings = SFTSettings(
        steps=1000,
        lr=1e-4,
        micro_batch=shape.batch,
        precision="bf16" if variant.precision == "bf16" else "fp32",
        compile=variant.compile,
        activation_checkpointing=variant.checkpointing,
    )
    optimizers = build_optimizers(model, OptimizerSettings("adamw", lr=1e-4))
    return SFTRun(model, optimizers, settings, device, kernels(settings, device))


def name(variant: Variant) -> str:
    """The variant's name, such as "lora r1, bf16, compiled"."""
    method = variant.method if variant.rank is None else f"{variant.method} r{variant.rank}"
    return f"{method}, {variant.precision}" + ", compiled" * variant.compile + ", checkpointed" * variant.checkpointing


if __name__ == "__main__":
    run_alone(measure)
