"""Adapters that PEFT has: put into a model, made ready for a step, merged, and written as PEFT writes them.

PEFT (0.21, `peft.get_peft_model`) wraps projections of the model in place; its layers keep the projection as
`base_layer`. The model stays transformers' own. Forward passes of ours call such a layer as a module
(`model.forward`, `model.decoder_layers`), so that an adapter may do anything to input, weight and output.

PiSSA and OLoRA change the weights that they are put beside: W - s B A stands there. What is trained is still B and A
alone, because the change follows from the base weights and the seed.
"""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import peft
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from basis.fields import Scaling
from basis.methods import METHODS, Method
from model.architectures import (
    ACCEPTED,
    ArchitectureError,
    block_prefix,
    blocks_of,
    projections_of,
    refuse_targets,
    target_of,
    targeted,
)
from model.quantized import quantise

ADAPTER = "default"
"""What PEFT calls the only adapter of a model."""

_SHARED = ("vera_A", "vera_B", "vblora_vector_bank", "tinylora_v")
"""What all layers of an adapter have in common, which PEFT's files name once."""

MUTATING = ("pissa", "olora")
"""Methods, and initialisations of PEFT's, that change the base weights."""


@dataclass(frozen=True)
class PeftSettings:
    """Which method of PEFT goes around which projections.

    Attributes:
        method: one with a type of PEFT.
        targets: as in `model.lora_linear.LoRASettings`, but for the head.
        rank: of the methods that have one.
        alpha: likewise.
        scaling: likewise.
        options: further ones, by PEFT's names.
        seed: of what is drawn.
        compute_dtype: of products with quantised weights.
    """

    method: Method
    targets: tuple[str, ...]
    rank: int | None = None
    alpha: float | None = None
    scaling: Scaling | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    compute_dtype: torch.dtype = torch.float32


def add_peft_adapters(model: PreTrainedModel, settings: PeftSettings) -> None:
    """Put a method's adapters around the target projections of `model`, in place; they alone train then.

    Draws follow from the seed, and singular values are computed by one thread, so that the same adapters come on every
    number of threads. On the meta device nothing is drawn.

    Raises:
        ArchitectureError: the model has no projection of a target, or PEFT has no such adapter for it.
        MissingPackageError: the method needs a package that is not there.
    """
    refuse_targets(model, settings.targets)
    traits = METHODS[settings.method]
    if not traits.conv1d and any(isinstance(layer, Conv1D) for _, layer in projections_of(blocks_of(model)[0])):
        able = ", ".join(name for name, other in METHODS.items() if other.conv1d)
        raise ArchitectureError(
            f"PEFT has no {settings.method!r} for the projections of a {type(model).__name__}; accepted there: {able}"
        )
    on_meta = next(model.parameters()).device.type == "meta"
    config = peft_config(model, settings)
    if settings.method == "qlora":
        quantise(model, settings.compute_dtype)
    try:
        with _seeded(settings.seed), quiet_peft():
            peft.get_peft_model(model, config, ADAPTER, low_cpu_mem_usage=on_meta)
    except (ValueError, TypeError, RuntimeError, AssertionError) as error:  # sizes that an option does not go with
        if torch.cuda.is_available() and isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ArchitectureError(f"PEFT can't put {settings.method!r} into a {type(model).__name__}: {said}") from error
    if settings.method == "lora-fa":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and "lora_A" not in name)


def peft_config(model: PreTrainedModel, settings: PeftSettings) -> peft.PeftConfig:
    """PEFT's configuration of a method on a model whose adapters are not there yet.

    Raises:
        ArchitectureError: PEFT refuses the options.
    """
    traits = METHODS[settings.method]
    layers = [
        (f"{block_prefix(model)}.{index}.{name}", name, layer)
        for index, block in enumerate(blocks_of(model))
        for name, layer in projections_of(block)
        if targeted(name, settings.targets)
    ]
    given = {"rank": settings.rank, "alpha": settings.alpha}
    values: dict[str, Any] = {
        own: _whole(number) for name, own in traits.names.items() if (number := given[name]) is not None
    }
    values |= {**settings.options, **traits.fixed, "target_modules": [name for name, _, _ in layers]}
    if settings.scaling == "alpha/sqrt(r)":
        values["use_rslora"] = True
    if traits.peft == "IA3":
        values["feedforward_modules"] = [full for full, name, _ in layers if target_of(name) == "mlp_out"]
    values |= {"fan_in_fan_out": True} if any(isinstance(layer, Conv1D) for _, _, layer in layers) else {}
    try:
        with quiet_peft():
            return peft.get_peft_config({"peft_type": traits.peft, "task_type": "CAUSAL_LM", **values})
    except (ValueError, TypeError) as error:
        raise ArchitectureError(f"PEFT refuses {settings.method!r}: {str(error).splitlines()[0]}; {ACCEPTED}") from None


def _whole(number: float) -> float:
    """The number, as an int if it is whole: PEFT's types are such."""
    return int(number) if number == int(number) else number


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draws in the block follow from `seed` and leave others alone; one thread computes."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Have PEFT warn of nothing in the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def peft_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name and module of each layer of PEFT's."""
    return ((name, layer) for name, layer in model.named_modules() if hasattr(layer, "base_layer"))


def merge_peft(model: PreTrainedModel) -> PreTrainedModel:
    """Turn every layer of PEFT's, in place, into the plain layer with the adapter's update, and return the model.

    Raises:
        ValueError: the method has no update that could be added; see `MethodTraits.merges`.
    """
    with torch.no_grad():
        for name, layer in list(peft_layers(model)):
            try:
                layer.merge(safe_merge=True, adapter_names=[ADAPTER])  # type: ignore[operator]
            except NotImplementedError as error:
                raise ValueError(f"{name}: {error}") from error
            model.set_submodule(name, layer.get_base_layer())  # type: ignore[operator]
    del model.peft_config
    return model


def peft_files(
    model: PreTrainedModel, fresh: PreTrainedModel | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What PEFT's files hold of a model's adapters: adapter_config.json as a mapping, and the tensors.

    Adapters of PiSSA and OLoRA belong to weights that they have changed. They are written as plain LoRA of twice the
    rank, B A - B0 A0, which goes beside the unchanged weights; so does PEFT when it is given the initial adapter.

    Args:
        model: with trained adapters.
        fresh: the same before its first step, for PiSSA and OLoRA.

    Raises:
        ValueError: `fresh` is needed and missing.
    """
    config: peft.PeftConfig = model.peft_config[ADAPTER]  # type: ignore[index]
    state = _tensors(model, config)
    values = config.to_dict() | {"inference_mode": True}
    if getattr(config, "init_lora_weights", None) in MUTATING:
        if fresh is None:
            raise ValueError("adapters that have changed the base weights are written beside their initial values")
        initial = _tensors(fresh, config)
        grown = 2 if not config.use_rslora else math.sqrt(2)  # leaves the scaling as it is
        values |= {"r": 2 * config.r, "lora_alpha": config.lora_alpha * grown, "init_lora_weights": True}
        state = {
            name: torch.cat([value, initial[name]]) if "lora_A" in name else torch.cat([value, -initial[name]], 1)
            for name, value in state.items()
        }
    values["target_modules"] = sorted(values["target_modules"])
    plain = {name: _as_json(value) for name, value in values.items()}
    return plain, {name: value.detach().contiguous().cpu() for name, value in state.items()}


def _as_json(value: Any) -> Any:
    """A value of a configuration as JSON has it."""
    if isinstance(value, Enum):
        return value.value
    return sorted(value) if isinstance(value, set) else value


def _tensors(model: PreTrainedModel, config: peft.PeftConfig) -> dict[str, Tensor]:
    """The adapters' tensors by the names of PEFT's files."""
    state: dict[str, Tensor] = model.state_dict()
    for name, value in list(state.items()):
        for shared in _SHARED:
            if f".{shared}." in name:
                state.setdefault(f"base_model.{name[name.rindex(f'{shared}.') :]}", value)
    with quiet_peft():
        named = peft.get_peft_model_state_dict(model, state, ADAPTER, save_embedding_layers=False)
    return {name if name.startswith("base_model.") else f"base_model.model.{name}": named[name] for name in named}
