"""What the checks compare: small models, and their losses and gradients by our step and by Hugging Face's model."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MethodType

import loralib
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from basis.fields import SCALING_OPTIMIZERS, Optimizer, Precision
from basis.optimizers import OWN
from model.batch import Batch
from model.gpt2_lora import add_adapters, select_trainable, trained_parameters
from model.lora_linear import LoRALinear, LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.sft import SFTRun, SFTSettings

Gradients = dict[str, Tensor]
LR, WEIGHT_DECAY = 1e-3, 0.01


@dataclass(frozen=True)
class Check:
    """One thing that must hold.

    Attributes:
        name: what is compared.
        error: how far the two are apart.
        tolerance: how far they may be.
        reason: why that far.
    """

    name: str
    error: float
    tolerance: float
    reason: str

    @property
    def met(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class Small:
    """A small model, and the windows of its step."""

    layers: int = 4
    width: int = 256
    heads: int = 4
    vocabulary: int = 5003
    batch: int = 3
    block: int = 128
    dropout: float = 0.0

    def __str__(self) -> str:
        return f"{self.layers} x {self.width}, V {self.vocabulary}, {self.batch} x {self.block}"

    def windows(self, seed: int = 0) -> Tensor:
        """Token ids (batch, block + 1) on the CPU."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(self.vocabulary, (self.batch, self.block + 1), generator=generator)

    def model(self, rank: int | None) -> GPT2LMHeadModel:
        """The model on the CPU, the same in each call: to be trained whole, or for a `rank` its adapters alone."""
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=self.vocabulary, n_positions=1024, n_embd=self.width, n_layer=self.layers, n_head=self.heads,
            resid_pdrop=self.dropout, embd_pdrop=self.dropout, attn_pdrop=self.dropout, bos_token_id=0, eos_token_id=0,
        )  # fmt: skip
        model = GPT2LMHeadModel(config)
        with torch.no_grad():
            model.transformer.wte.weight.mul_(5)  # logits that are worth a softmax
        if rank is not None:
            add_adapters(model, LoRASettings(rank, 2.0 * rank), torch.Generator().manual_seed(0))
            draw = torch.Generator().manual_seed(1)
            for name, parameter in model.named_parameters():
                if name.endswith("lora_B"):  # at zero, A would have no gradient
                    torch.nn.init.normal_(parameter, 0, 0.05, generator=draw)
        select_trainable(model, "full" if rank is None else "lora")
        return model


TINY = Small(layers=2, width=32, heads=2, vocabulary=503, batch=2, block=40)
MOST_SKIPPED_STEPS = 20
"""fp16 skips a step whose gradients overflow and halves the scale of its loss, which begins at 2^16."""
RANKS = (None, 1, 3, 10)


def method_name(rank: int | None) -> str:
    """Such as "full" or "LoRA r3"."""
    return "full" if rank is None else f"LoRA r{rank}"


def optimizers_under(precision: Precision) -> Sequence[Optimizer]:
    """The optimizers that a precision accepts."""
    return SCALING_OPTIMIZERS if precision == "fp16" else tuple(OWN)


def new_run(
    model: GPT2LMHeadModel,
    optimizers: Sequence[torch.optim.Optimizer] | Optimizer,
    device: torch.device,
    precision: Precision = "fp32",
    micro_batch: int = 64,
    checkpointing: bool = False,
    clip_norm: float | None = None,
) -> SFTRun:
    """A run of `model`, which it moves to `device`; an optimizer's name stands for that one, with weight decay."""
    if isinstance(optimizers, str):
        optimizers = build_optimizers(model, OptimizerSettings(optimizers, lr=LR, weight_decay=WEIGHT_DECAY))
    settings = SFTSettings(
        steps=100,
        lr=LR,
        micro_batch=micro_batch,
        clip_norm=clip_norm,
        precision=precision,
        activation_checkpointing=checkpointing,
    )
    return SFTRun(model, optimizers, settings, device)


class GradientCopies(torch.optim.Optimizer):
    """In place of an optimizer: keeps a copy of the gradients that a step would be taken by."""

    def __init__(self, model: GPT2LMHeadModel) -> None:
        self._named = list(trained_parameters(model))
        self.gradients: Gradients = {}
        super().__init__([parameter for _, parameter in self._named], {"lr": LR})

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Copy the gradients."""
        self.gradients = {name: p.grad.double().cpu() for name, p in self._named if p.grad is not None}


def by_our_step(
    model: GPT2LMHeadModel, windows: Tensor, device: torch.device, precision: Precision
) -> tuple[float, Gradients]:
    """Loss and gradients of one training step of ours, with a copy of `model`."""
    model = copy.deepcopy(model)
    copies = GradientCopies(model)
    run = new_run(model, [copies], device, precision)
    for _ in range(MOST_SKIPPED_STEPS):
        loss = run.train_step(Batch(windows))
        if copies.gradients:
            break
    return loss.item(), copies.gradients


def by_hugging_face(
    model: GPT2LMHeadModel, windows: Tensor, device: torch.device, autocast: torch.dtype | None = None
) -> tuple[float, Gradients]:
    """Loss and gradients of Hugging Face's model with loralib's adapters: under autocast, or else in fp64."""
    model = plain_model(model, device, torch.float64 if autocast is None else torch.float32)
    windows = windows.to(device)
    with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
        logits = model(windows[:, :-1]).logits
    loss = F.cross_entropy(logits.flatten(0, 1).to(model.dtype), windows[:, 1:].flatten())
    loss.backward()
    return loss.item(), {n: p.grad.double().cpu() for n, p in trained_parameters(model) if p.grad is not None}


def exact_losses(
    model: GPT2LMHeadModel, optimizer: Optimizer, batches: Sequence[Tensor], clip_norm: float
) -> list[float]:
    """The losses of one step a batch in fp64 on the CPU, by Hugging Face's model and PyTorch's optimizer."""
    model = plain_model(model, torch.device("cpu"), torch.float64)
    optimizers = build_optimizers(model, OptimizerSettings(optimizer, lr=LR, weight_decay=WEIGHT_DECAY))
    losses = []
    for windows in batches:
        loss = F.cross_entropy(model(windows[:, :-1]).logits.flatten(0, 1), windows[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for _, p in trained_parameters(model)], clip_norm)
        for each in optimizers:
            each.step()
            each.zero_grad()
        losses.append(loss.item())
    return losses


def plain_model(model: GPT2LMHeadModel, device: torch.device, dtype: torch.dtype) -> GPT2LMHeadModel:
    """A copy of `model` whose adapters are computed by loralib."""
    model = copy.deepcopy(model).to(device=device, dtype=dtype)
    for layer in model.modules():
        if isinstance(layer, LoRALinear):
            layer.forward = MethodType(loralib.Linear.forward, layer)  # type: ignore[method-assign]
    return model


def relative_error(ours: Gradients, reference: Gradients) -> float:
    """The norm of the difference of all gradients over the norm of the reference's."""
    if ours.keys() != reference.keys():
        raise RuntimeError(f"gradients of other parameters: {sorted(ours.keys() ^ reference.keys())}")
    difference = sum(float((ours[name] - gradient).square().sum()) for name, gradient in reference.items())
    return math.sqrt(difference / sum(float(gradient.square().sum()) for gradient in reference.values()))


def largest_relative_error(ours: Sequence[float], reference: Sequence[float]) -> float:
    """The largest relative difference of two series of losses; NaN if any is none."""
    ratios = torch.tensor(ours, dtype=torch.float64) / torch.tensor(reference, dtype=torch.float64)
    return (ratios - 1).abs().max().item()
