"""The names that the fields of a trial's config take, and which method or optimizer has which field.

Every name stands here alone: the model, the sweep and the analysis import it. A new method, optimizer, schedule or
scaling is a line here; `tests/basis/test_vocabulary.py` names what else must know it.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

from basis.methods import METHODS
from basis.optimizers import OPTIMIZERS

Optimizer = str
"""One of `basis.optimizers.OPTIMIZERS`."""

Schedule = Literal["constant", "cosine", "linear"]

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
"""What a step computes its products in."""

PrecisionChoice = Literal["auto", "fp32", "tf32", "bf16", "fp16"]
"""What a spec may ask for. `auto` is settled before any trial, for all trials of a sweep at once."""

Scaling = Literal["alpha/r", "alpha/sqrt(r)"]
"""What an adapter's product B A x is multiplied by: LoRA's rule (Hu et al. 2021), rsLoRA's (Kalajdzievski 2023)."""

Target = Literal["attention_in", "attention_out", "mlp_in", "mlp_out", "head"]
"""Projections that an adapter can be put around."""

PROJECTION_TARGETS: tuple[Target, ...] = ("attention_in", "attention_out", "mlp_in", "mlp_out")
"""Those of a block."""

ALL_LINEAR = "all-linear"
"""The target that stands for every projection of every block, whatever a model calls them."""

TrainedGroup = Literal["embeddings", "biases", "layernorms", "head"]
"""Base weights that can train besides the adapters."""

LossOn = Literal["auto", "all", "completions", "assistant"]
"""Which tokens a train loss is taken on. `auto` is what suits the kind of the data."""

Packing = Literal["stream", "examples", "none"]
"""How examples become the rows of a batch."""

PackingChoice = Literal["auto", "stream", "examples", "none"]
"""What a spec may ask for. `auto` is what suits the kind of the data."""

ADDED_FIELDS: dict[str, Any] = {
    "model": None,
    "loss_on": "auto",
    "packing": "auto",
    "peft": None,
    "optimizer_options": None,
}
"""Fields that came after trials had been named, with the value that all earlier trials have."""


def identifying(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config by which a trial is named and recognised: not those that came later, at their default."""
    return {name: value for name, value in config.items() if (name, value) not in ADDED_FIELDS.items()}


PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)
TRAINED_GROUPS: tuple[TrainedGroup, ...] = get_args(TrainedGroup)


MOMENTUM_DEFAULTS: dict[str, float] = {
    name: traits.momentum for name, traits in OPTIMIZERS.items() if traits.momentum is not None
}
BETAS_DEFAULTS: dict[str, tuple[float, float]] = {
    name: traits.betas for name, traits in OPTIMIZERS.items() if traits.betas is not None
}
LORA_DEFAULTS: dict[str, Any] = {
    "alpha": METHODS["lora"].alpha,  # with scaling alpha / rank, the best learning rate hardly depends on rank
    "scaling": "alpha/r",
    "b_lr_ratio": 1.0,
    "targets": PROJECTION_TARGETS,
    "also_train": (),
}

LORA_FIELDS = ("rank", *LORA_DEFAULTS)
"""Fields of method "lora". Other methods with adapters have some of them, see `basis.methods`."""

ADAPTER_FIELDS = (*LORA_FIELDS, "peft")
"""Fields of methods with adapters; what trials of them share stands under `lora` in a spec."""

OPTIMIZER_DEFAULTS: dict[str, Mapping[str, Any]] = {"momentum": MOMENTUM_DEFAULTS, "betas": BETAS_DEFAULTS}
"""By the field that some optimizers have: its default under each of them."""

SCALING_OPTIMIZERS = tuple(name for name, traits in OPTIMIZERS.items() if traits.scales)
"""The optimizers of precision fp16: those of which PyTorch has a fused kernel."""

OPTIMIZER_FIELDS = tuple(OPTIMIZER_DEFAULTS)

MAPPING_FIELDS = ("peft", "optimizer_options")
"""Fields of which one value is a mapping: options by name. Choices are a list of mappings."""

DEPENDENT_FIELDS = (*LORA_FIELDS, *OPTIMIZER_FIELDS, *MAPPING_FIELDS)
"""Fields that a config may not have, by its method or optimizer; None then."""

LIST_FIELDS = ("targets", "also_train", "betas")
"""Fields of which one value is a list; choices are a list of lists."""

COST_FIELDS = ("micro_batch", "compile", "activation_checkpointing")
"""Fields that leave the training as it is but for rounding: they matter for speed and memory alone."""

_OWNERS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{
        field: ("method", tuple(name for name, traits in METHODS.items() if field in traits.fields))
        for field in ADAPTER_FIELDS
    },
    "momentum": ("optimizer", tuple(MOMENTUM_DEFAULTS)),
    "betas": ("optimizer", tuple(BETAS_DEFAULTS)),
    "optimizer_options": ("optimizer", tuple(name for name, traits in OPTIMIZERS.items() if traits.options)),
}
"""The dependent fields: the field that decides whether a config has one, and the names under which it does."""


def owner_of(field: str) -> str | None:
    """The field that decides whether a config has this one: "method" or "optimizer"; None if every config has it."""
    return _OWNERS[field][0] if field in _OWNERS else None


def names_with(field: str) -> tuple[str, ...]:
    """The methods, or the optimizers, that have a dependent field; see `owner_of`."""
    return _OWNERS[field][1]


def applies(field: str, config: Mapping[str, Any]) -> bool:
    """Whether a config has a field, by its method and optimizer; true where it does not say which it has."""
    owner = owner_of(field)
    return owner is None or owner not in config or config[owner] in names_with(field)


def default_of(field: str, method: str) -> Any:
    """The default of a field of adapters under a method that has it."""
    return METHODS[method].alpha if field == "alpha" else LORA_DEFAULTS[field]  # type: ignore[index]


def has_adapters(method: object) -> bool:
    """Whether a method trains something beside frozen base weights."""
    return isinstance(method, str) and method != "full" and method in METHODS


def is_lora(method: object) -> bool:
    """Whether a method trains LoRA's product B A, whatever it does besides."""
    return has_adapters(method) and applies("scaling", {"method": method})


def shared_by_adapters(fields: Mapping[str, Any], method: object) -> dict[str, Any]:
    """What `lora: {...}` of a spec, or another mapping of fields, says of a trial of that method.

    Method lora gets all of it, another method with adapters what it has, and full fine-tuning nothing.
    """
    if not has_adapters(method):
        return {}
    return {name: value for name, value in fields.items() if method == "lora" or applies(name, {"method": method})}


def adapter_scaling(scaling: Scaling, alpha: float, rank: int) -> float:
    """What an adapter's product B A x is multiplied by."""
    match scaling:
        case "alpha/r":
            return alpha / rank
        case "alpha/sqrt(r)":
            return alpha / math.sqrt(rank)


def optimizer_order(name: object) -> int:
    """Where an optimizer comes in a report; one that is unknown comes last."""
    return next((place for place, known in enumerate(OPTIMIZERS) if known == name), len(OPTIMIZERS))


def arm_label(config: Mapping[str, Any]) -> str:
    """Short name of an arm for tables and figures: "full adamw", "lora r10 adamw", "ia3 adamw", "gpt2 full adamw".

    `config` is a TrialConfig as a mapping. Fields beyond base model, method, rank and optimizer are not named here;
    whoever shows several arms with the same label appends the fields in which they differ.
    """
    model = f"{config['model']} " if config.get("model") else ""  # earlier configs have no such field
    method = str(config["method"]) if config.get("rank") is None else f"{config['method']} r{config['rank']}"
    return f"{model}{method} {config['optimizer']}"
