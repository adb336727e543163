"""Optimizers of pytorch-optimizer and bitsandbytes, built by name as ours are."""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import torch
from transformers import PreTrainedModel

from basis.optimizers import FORCED, LOW_RANK, NEEDS_MUON_SPLIT, OPTIMIZERS
from model.optimizer_settings import LR_RATIO, Group, OptimizerSettings


def library_class(name: str) -> Any:
    """The class of an optimizer that is not PyTorch's own.

    Raises:
        ModuleNotFoundError: its library is not installed.
    """
    if OPTIMIZERS[name].provider == "bitsandbytes":
        return getattr(importlib.import_module("bitsandbytes.optim"), OPTIMIZERS[name].made_by)
    return importlib.import_module("pytorch_optimizer").load_optimizer(name)


def library_optimizer(
    model: PreTrainedModel, hidden: list[Group], rest: list[Group], settings: OptimizerSettings
) -> torch.optim.Optimizer:
    """The optimizer of that name over all groups.

    Args:
        model: whose parameters they are.
        hidden: matrices of hidden layers, in groups of one learning rate.
        rest: embeddings, the head and vectors, likewise.
        settings: its hyperparameters.

    Raises:
        ValueError: the library refuses a hyperparameter.
    """
    name, made_by = settings.name, library_class(settings.name)
    arguments = library_arguments(settings)
    if name == "adammini":
        return _adam_mini(made_by, model, arguments, [*hidden, *rest])
    groups = [*hidden, *rest]
    if name in NEEDS_MUON_SPLIT:
        shared = {"lr": settings.lr, "weight_decay": settings.weight_decay}
        groups = [{**group, **shared, "use_muon": True} for group in hidden]
        groups += [{**group, **shared, "use_muon": False} for group in rest]
    if name in LOW_RANK:
        low_rank = {key: option.default for key, option in LOW_RANK[name].items()}
        low_rank |= {key: arguments.pop(key) for key in low_rank if key in arguments}
        groups = [{**group, **low_rank} for group in groups]
    optimizer: torch.optim.Optimizer = made_by(groups, **arguments)
    return optimizer


def library_arguments(settings: OptimizerSettings) -> dict[str, Any]:
    """What the constructor is given."""
    traits = OPTIMIZERS[settings.name]
    arguments: dict[str, Any] = {"lr": settings.lr}
    if traits.betas is not None:
        arguments["betas"] = settings.betas
    if traits.momentum is not None:
        arguments["momentum"] = settings.momentum
    if traits.decay is not None:
        arguments["weight_decay"] = settings.weight_decay
    if settings.name == "mars":  # else it has vectors trained at rates of their own, whatever the schedule says
        arguments |= {"lr_1d": settings.lr, "weight_decay_1d": settings.weight_decay}
    return arguments | FORCED.get(settings.name, {}) | dict(settings.options)


def _adam_mini(
    made_by: Any, model: PreTrainedModel, arguments: dict[str, Any], groups: Sequence[Group]
) -> torch.optim.Optimizer:
    """Adam-mini makes its groups by itself, from names of parameters; `num_heads` gives it the size of a head."""
    config = model.config.get_text_config()
    width = config.hidden_size
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    optimizer: torch.optim.Optimizer = made_by(model, num_embeds=width, num_heads=width // head, **arguments)
    ratios = {id(parameter): group[LR_RATIO] for group in groups for parameter in group["params"]}
    for group in optimizer.param_groups:
        group[LR_RATIO] = ratios[id(group["params"][0])]
    return optimizer


@contextmanager
def at_average(optimizers: Sequence[torch.optim.Optimizer]) -> Iterator[None]:
    """Within, a model has the weights by which it is evaluated: under an averaging optimizer the average of its points.

    Afterwards it has the weights that it trains on, to the bit, so that evaluations change no training.
    """
    averaging = [optimizer for optimizer in optimizers if averages(optimizer)]
    parameters = [p for optimizer in averaging for group in optimizer.param_groups for p in group["params"]]
    kept = [parameter.detach().clone() for parameter in parameters]
    move_to_average(averaging)
    try:
        yield
    finally:
        for optimizer in averaging:
            optimizer.train()  # type: ignore[attr-defined]
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)


def move_to_average(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Leave the model at the weights by which it is evaluated, for good."""
    for optimizer in optimizers:
        if averages(optimizer):
            optimizer.eval()  # type: ignore[attr-defined]


def averages(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer trains at one point and is evaluated at another."""
    return hasattr(optimizer, "eval") and hasattr(optimizer, "train")


PROJECTOR = "projector"
"""Key of a parameter's state under which GaLore and its kin keep an object, the projection of its gradient."""


def plain_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimizer's state as tensors and plain values, which a checkpoint holds without code."""
    state = optimizer.state_dict()
    plain = {
        number: {key: vars(value) if key == PROJECTOR else value for key, value in held.items()}
        if isinstance(held, dict)
        else held
        for number, held in state["state"].items()
    }
    groups = [
        {key: int(value) if isinstance(value, IntEnum) else value for key, value in group.items()}
        for group in state["param_groups"]
    ]
    return {**state, "state": plain, "param_groups": groups}


def load_plain_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take over what `plain_state` gave."""
    optimizer.load_state_dict(state)
    for held in optimizer.state.values():
        if isinstance(held, dict) and isinstance(held.get(PROJECTOR), dict):
            held[PROJECTOR] = _projector(held[PROJECTOR])


def _projector(values: dict[str, Any]) -> Any:
    from pytorch_optimizer.optimizer.utils.galore import GaLoreProjector

    projector = GaLoreProjector()
    vars(projector).update(values)
    return projector
