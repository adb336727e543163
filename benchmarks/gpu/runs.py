"""The runs that all parts measure: a shape, a variant of the step, and the trial of a sweep that has both."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from transformers import GPT2LMHeadModel

from basis.fields import Optimizer, Precision
from basis.methods import Method
from benchmarks.step_shapes import Shape
from model.gpt2_lora import add_adapters, gpt2_config, select_trainable, untie_head
from model.ledger import MemoryParts
from model.lora_linear import LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.predict_memory import predict_parts
from model.sft import KernelsFor, SFTRun, SFTSettings, training_kernels

MIB, GIB = 2**20, 2**30
MEDIUM = Shape(layers=24, width=1024, heads=16, batch=8, block=1024)
"""gpt2-medium and the study's batch."""
SMALL = Shape(layers=4, width=256, heads=4, batch=8, block=1024)
BASE = Shape(layers=12, width=768, heads=12, batch=8, block=1024)
TINY = Shape(layers=2, width=64, heads=2, batch=2, block=32, vocabulary=500)
"""Only shows that a part runs."""
CLIP_NORM = 1.0
"""As the study clips."""


@dataclass(frozen=True)
class Variant:
    """One way to take the step.

    Attributes:
        rank: of the adapters; None for full fine-tuning.
        precision: of the products.
        compile: whether torch.compile fuses each block.
        checkpointing: whether blocks are computed again in the backward pass.
        optimizer: which one steps.
        dropout: of embeddings, attention and residuals.
        micro_batch: windows of a pass; None: the whole batch.
        clip_norm: largest norm of the gradient; None leaves it as it is.
        tied: whether the head is the embedding.
    """

    rank: int | None
    precision: Precision
    compile: bool = False
    checkpointing: bool = False
    optimizer: Optimizer = "adamw"
    dropout: float = 0.0
    micro_batch: int | None = None
    clip_norm: float | None = CLIP_NORM
    tied: bool = True

    @property
    def method(self) -> Method:
        """What trains."""
        return "full" if self.rank is None else "lora"

    def __str__(self) -> str:
        method = self.method if self.rank is None else f"{self.method} r{self.rank}"
        remarks = {
            self.optimizer: self.optimizer != "adamw",
            "compiled": self.compile,
            "checkpointed": self.checkpointing,
            f"dropout {self.dropout}": self.dropout > 0,
            f"{self.micro_batch} at once": self.micro_batch is not None,
            "unclipped": self.clip_norm is None,
            "untied": not self.tied,
        }
        return ", ".join([method, self.precision, *(remark for remark, applies in remarks.items() if applies)])


def precisions(device: torch.device) -> list[Precision]:
    """The precisions that the device computes in natively, the fastest first."""
    cuda = device.type == "cuda"
    ampere = cuda and torch.cuda.get_device_capability(device) >= (8, 0)  # the first with bf16 and TF32
    has: dict[Precision, bool] = {"bf16": ampere or not cuda, "fp16": cuda, "tf32": ampere, "fp32": True}
    return [precision for precision, native in has.items() if native]


def build(variant: Variant, shape: Shape, device: torch.device, kernels: KernelsFor = training_kernels) -> SFTRun:
    """The run that a trial of the sweep would be, at random weights that are drawn on `device`."""
    torch.manual_seed(0)
    sizes = {
        "n_layer": shape.layers,
        "n_embd": shape.width,
        "n_head": shape.heads,
        "vocab_size": shape.vocabulary,
        "n_positions": shape.block,
        "bos_token_id": 0,  # within every vocabulary
        "eos_token_id": 0,
    }
    config = gpt2_config("gpt2-medium", sizes)
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = variant.dropout
    with device:  # the CPU takes seconds for 355 million
        model = GPT2LMHeadModel(config)
    if not variant.tied:
        untie_head(model)
    if variant.rank is not None:
        add_adapters(model, LoRASettings(variant.rank, alpha=32.0), torch.Generator().manual_seed(0))
    select_trainable(model, variant.method)
    settings = SFTSettings(
        steps=1000,
        lr=1e-4,
        micro_batch=variant.micro_batch or shape.batch,
        clip_norm=variant.clip_norm,
        precision=variant.precision,
        compile=variant.compile,
        activation_checkpointing=variant.checkpointing,
    )
    optimizers = build_optimizers(model, OptimizerSettings(variant.optimizer, lr=1e-4))
    return SFTRun(model, optimizers, settings, device, kernels(settings, device))


def predict(variant: Variant, shape: Shape, device: torch.device) -> MemoryParts:
    """The predicted parts of the peak of a step on `device`, in bytes, as a dry run predicts an uncompiled step."""
    variant = replace(variant, compile=False)

    def build_shallow(layers: int, kernels: KernelsFor) -> SFTRun:
        return build(variant, replace(shape, layers=layers), torch.device("cpu"), kernels)

    cuda = device.type == "cuda"
    hopper = cuda and torch.cuda.get_device_capability(device) >= (9, 0)
    return predict_parts(build_shallow, shape.layers, shape.batch, shape.block, "cuda" if cuda else "cpu", hopper)


def random_windows(shape: Shape) -> torch.Tensor:
    """Token ids (batch, block + 1) on the CPU, the same in each call."""
    return torch.randint(shape.vocabulary, (shape.batch, shape.block + 1), generator=torch.Generator().manual_seed(0))


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def release(device: torch.device) -> None:
    """Give memory that nothing holds back to the device, so that the next measurement begins as the first did."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Timing:
    """How work is timed: `blocks` blocks of `steps` calls, after `warm_up` calls that don't count."""

    warm_up: int = 2
    steps: int = 10
    blocks: int = 5

    def median_seconds(self, work: Callable[[], object], device: torch.device) -> float:
        """The seconds of one call, the median over the blocks. The device is waited for at a block's ends alone."""
        for _ in range(self.warm_up):
            work()
        seconds = []
        for _ in range(self.blocks):
            wait(device)
            started = time.perf_counter()
            for _ in range(self.steps):
                work()
            wait(device)
            seconds.append((time.perf_counter() - started) / self.steps)
        return statistics.median(seconds)

    def __str__(self) -> str:
        return f"the median of {self.blocks} blocks of {self.steps} steps after {self.warm_up} for warming up"


QUICK_TIMING = Timing(warm_up=1, steps=1, blocks=2)
