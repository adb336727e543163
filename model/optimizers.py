"""Optimizers and learning-rate schedules, chosen by name."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from basis.fields import Schedule
from basis.optimizers import FOR_HIDDEN_MATRICES
from model.architectures import embeddings_of, head_of
from model.library_optimizers import library_optimizer
from model.optimizer_settings import LR_RATIO, Group, OptimizerSettings


def build_optimizers(model: PreTrainedModel, settings: OptimizerSettings) -> list[torch.optim.Optimizer]:
    """The optimizers over what trains in `model`: one, or for muon two (see below). Fused kernels where torch has them.

    Muon (Jordan et al. 2024) is defined for matrices of hidden layers. Its usual companion, AdamW at the same
    learning rate, takes embeddings, the head and vectors; torch's `adjust_lr_fn="match_rms_adamw"` (Moonshot,
    arXiv:2502.16982) makes one learning rate serve both.

    Raises:
        ValueError: an optimizer for matrices of hidden layers, and none of them trains; or a library refuses a value.
        ModuleNotFoundError: the library that has the optimizer is not installed.
    """
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    ratio = {id(p): settings.b_lr_ratio for n, p in trained if n.endswith(("lora_B", "lora_B.default.weight"))}
    parameters = _groups([p for _, p in trained], ratio)
    lr, decay = settings.lr, settings.weight_decay
    match settings.name:
        case "sgd":
            return [torch.optim.SGD(parameters, lr=lr, weight_decay=decay, fused=True)]
        case "momentum" | "nesterov":
            return [
                torch.optim.SGD(
                    parameters,
                    lr=lr,
                    momentum=settings.momentum,
                    nesterov=settings.name == "nesterov",
                    weight_decay=decay,
                    fused=True,
                )
            ]
        case "adamw":
            return [_adamw(parameters, settings)]
        case "adafactor":
            return [torch.optim.Adafactor(parameters, lr=lr, weight_decay=decay, foreach=False)]
    ends = {id(p) for module in (*embeddings_of(model), head_of(model)) for p in module.parameters()}
    outer = ends | {id(p) for p in model.parameters() if p.ndim != 2}
    hidden = _groups([p for _, p in trained if id(p) not in outer], ratio)
    rest = _groups([p for _, p in trained if id(p) in outer], ratio)
    if not hidden and settings.name in FOR_HIDDEN_MATRICES:
        raise ValueError(
            f"{settings.name} needs a matrix of a hidden layer to train; here embeddings, head or vectors train"
        )
    if settings.name != "muon":
        return [library_optimizer(model, hidden, rest, settings)]
    muon = torch.optim.Muon(
        hidden, lr=lr, weight_decay=decay, momentum=settings.momentum, adjust_lr_fn="match_rms_adamw"
    )
    return [muon, _adamw(rest, settings)] if rest else [muon]


def _groups(parameters: Sequence[nn.Parameter], ratio: Mapping[int, float]) -> list[Group]:
    """Parameters of one learning rate each; `ratio` says of some, by id, how many times the usual one they have."""
    by_ratio: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        by_ratio.setdefault(ratio.get(id(parameter), 1.0), []).append(parameter)
    return [{"params": members, LR_RATIO: value} for value, members in sorted(by_ratio.items())]


def _adamw(parameters: list[Group], settings: OptimizerSettings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        parameters, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay, fused=True
    )


def learning_rate(lr: float, schedule: Schedule, warmup_steps: int, steps: int, step: int) -> float:
    """The learning rate of optimizer step `step` (counted from 0) out of `steps`.

    Linear warm-up from lr / warmup_steps to lr over the first `warmup_steps`, then constant, a half cosine, or a
    straight line, both down to zero at step `steps`.
    """
    if step < warmup_steps:
        return lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    match schedule:
        case "constant":
            return lr
        case "cosine":
            return lr * 0.5 * (1 + math.cos(math.pi * progress))
        case "linear":
            return lr * (1 - progress)


def set_learning_rate(optimizers: Sequence[torch.optim.Optimizer], lr: float) -> None:
    """Set the rate of the next step in every parameter group, as many times `lr` as the group was built with."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get(LR_RATIO, 1.0)
