"""What pytorch-optimizer and bitsandbytes have: each optimizer's hyperparameters, from its signature.

    python -m model.library_signatures > basis/library_optimizers.json

So a spec is checked, and explained, without torch. `tests/model/test_library_signatures.py` fails while the file is
not what the installed libraries say.
"""

import inspect
import json
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import bitsandbytes.optim
import pytorch_optimizer
import torch
from torch import nn

from basis.optimizers import EIGHT_BIT, LOW_RANK, NEEDS_MUON_SPLIT, OWN, REFUSED
from model.tensor_bytes import state_tensors, tensor_bytes

SHAPES = {"matrix": (512, 512), "vector": (512,)}
"""Parameters of which the state is measured."""

NOT_OPTIONS = {
    *("self", "params", "model", "lr", "kwargs"),
    *("maximize", "foreach", "fused", "capturable", "differentiable"),  # of how a step computes, or turned round
    *("betas", "momentum", "weight_decay"),  # fields of a trial; see `_field` for those that are not
}
"""Arguments that no spec gives as an option."""

DECAY = {
    **dict.fromkeys(("adamw8bit", "lion8bit", "galore", "fira", "conda", "adammini", "soap"), "decoupled"),
    **dict.fromkeys(("dash", "flashadamw"), "decoupled"),
    **dict.fromkeys(("adan", "dadaptadan"), "decoupled"),  # either way; without `weight_decouple` after the update
    **dict.fromkeys(("schedulefreeadamw", "schedulefreeradam"), "decoupled"),  # after the second moment has divided
    **dict.fromkeys(("adam", "rmsprop", "schedulefreesgd", "accsgd", "apollodqn"), "in the gradient"),
    "novograd": "its own",  # added to the gradient once its norm is divided out
    "adams": "its own",  # divided by the second moment's root mean
}
"""How weight decay acts by default where no `weight_decouple` says so, or says otherwise; from the libraries' sources.
What else has such a decay has one of "its own": it is not of the weights alone, or is scaled by the gradient."""

OF_THE_SWEEP = {
    *(("schedulefreeadamw", "warmup_steps"), ("schedulefreesgd", "warmup_steps"), ("apollodqn", "warmup_steps")),
    *(("mars", "lr_1d"), ("mars", "weight_decay_1d"), ("adammini", "num_embeds"), ("adammini", "num_heads")),
    *((name, field) for name in NEEDS_MUON_SPLIT for field in ("adamw_lr", "adamw_wd")),
}
"""Options that repeat what the trial or its model says."""


def library() -> dict[str, dict[str, Any]]:
    """By name: the class, and what it takes, as plain values."""
    ours = {*OWN, *REFUSED}
    found = {
        name: _described(pytorch_optimizer.load_optimizer(name))
        for name in pytorch_optimizer.get_supported_optimizers()
        if name not in ours
    }
    return found | {name: _described(getattr(bitsandbytes.optim, made_by)) for name, made_by in EIGHT_BIT.items()}


def _described(made_by: type[Any]) -> dict[str, Any]:
    parameters = inspect.signature(made_by.__init__).parameters
    name = made_by.__name__.lower()
    hints = get_type_hints(made_by.__init__)
    options = {}
    for field, parameter in parameters.items():
        plain = _kinds(hints.get(field), parameter.default)
        if _is_option(field, parameter.default) and (name, field) not in OF_THE_SWEEP and plain:
            options[field] = {"default": _plain(parameter.default), "accepts": plain}
    betas, momentum = (_field(field, parameters) for field in ("betas", "momentum"))
    decay: str | None = None
    if "weight_decay" in parameters:
        decoupled = parameters.get("weight_decouple")
        other = "its own" if decoupled is None else "decoupled" if decoupled.default else "in the gradient"
        decay = DECAY.get(name, other)
    rate = parameters["lr"].default if "lr" in parameters else None
    return {"class": made_by.__name__, "lr": rate, "betas": betas, "momentum": momentum, "decay": decay} | {
        "state_bytes": state_bytes(made_by, rate or 1e-3),
        "options": dict(sorted(options.items())),
    }


def state_bytes(made_by: type[Any], lr: float) -> dict[str, float]:
    """Bytes of state for each parameter of a matrix and of a vector in fp32, after the second step."""
    return {kind: _measured(made_by, lr, shape) for kind, shape in SHAPES.items()}


def _measured(made_by: type[Any], lr: float, shape: tuple[int, ...]) -> float:
    name = made_by.__name__.lower()
    torch.manual_seed(0)
    holder = nn.Module()
    holder.weight = nn.Parameter(torch.randn(shape))
    group: dict[str, Any] = {"params": [holder.weight]}
    if name in NEEDS_MUON_SPLIT:
        group |= {"use_muon": len(shape) == 2}
    if name in LOW_RANK:
        group |= {key: option.default for key, option in LOW_RANK[name].items()}
    # one Newton-Schulz step leaves as much state as all of them, which take a CPU seconds
    quick = {"ns_steps": 1} if "ns_steps" in inspect.signature(made_by.__init__).parameters else {}
    optimizer = made_by(holder, lr=lr) if name == "adammini" else made_by([group], lr=lr, **quick)
    for _ in range(2):
        holder.weight.grad = torch.randn(shape)
        optimizer.step()
    return round(tensor_bytes(state_tensors([optimizer])) / holder.weight.numel(), 2)


def _is_option(field: str, default: Any) -> bool:
    if field in ("betas", "momentum"):
        return _plain_field(field, default) is None
    return field not in NOT_OPTIONS


def _field(field: str, parameters: Mapping[str, inspect.Parameter]) -> Any:
    """The default of a field of a trial; None where the optimizer has none that the field could hold."""
    return _plain_field(field, parameters[field].default) if field in parameters else None


def _plain_field(field: str, default: Any) -> Any:
    if field == "momentum":
        return float(default) if 0 <= default < 1 else None
    fits = isinstance(default, tuple) and len(default) == 2 and all(0 <= beta < 1 for beta in default)
    return list(default) if fits else None


def _plain(default: Any) -> Any:
    if isinstance(default, tuple):
        return list(default)
    return str(default) if default in (float("inf"),) else default


def _kinds(hint: Any, default: Any) -> list[str]:
    """The plain values that an argument takes: kinds of value, or the texts themselves in quotes; none if not all of
    its defaults are plain."""
    if default is inspect.Parameter.empty or not isinstance(default, bool | int | float | str | tuple | list | None):
        return []
    if isinstance(default, int) and not isinstance(default, bool) and type(default) is not int:
        return []  # a member of an enumeration
    kinds: list[str] = []
    for one in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
        origin = get_origin(one)
        if origin is Literal:
            kinds += [repr(text) for text in get_args(one)]
        elif origin in (tuple, list):
            kinds.append("numbers")
        elif one in _WORDS:
            kinds.append(_WORDS[one])
    return list(dict.fromkeys(kinds))


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


def as_json() -> str:
    """The file's text."""
    rows = [f"{json.dumps(name)}: {json.dumps(facts)}" for name, facts in sorted(library().items())]
    return "{\n" + ",\n".join(rows) + "\n}\n"


if __name__ == "__main__":
    print(as_json(), end="")
