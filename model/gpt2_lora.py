"""A model with loralib layers: load, put adapters in, choose what trains, merge, save and load.

The model stays transformers' own, GPT-2 or another (`model.architectures`): the chosen projections are replaced in
place by layers that keep the checkpoint's names (`transformer.h.0.attn.c_attn.weight`), so a state dict of the base
model always fits.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GPT2Config, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from basis.fields import TRAINED_GROUPS
from basis.methods import Method
from model.architectures import (
    block_prefix,
    blocks_of,
    embeddings_of,
    head_name,
    head_of,
    plain_projections_of,
    projections_of,
    refuse_targets,
    targeted,
)
from model.lora_linear import LoRALinear, LoRASettings
from model.weights import check_head, load_weights

LORALIB_NAMES = ("lora_A", "lora_B")
"""How the names of loralib's adapters end."""

ADAPTERS = "adapters"
"""What PEFT's adapters are called among the groups of parameters."""

SHAPES: dict[str, dict[str, int]] = {
    "gpt2": {"n_layer": 12, "n_embd": 768, "n_head": 12},
    "gpt2-medium": {"n_layer": 24, "n_embd": 1024, "n_head": 16},
    "gpt2-large": {"n_layer": 36, "n_embd": 1280, "n_head": 20},
    "gpt2-xl": {"n_layer": 48, "n_embd": 1600, "n_head": 25},
}
"""The published shapes (Radford et al. 2019), so that `init: random` needs no hub."""


def gpt2_config(name: str, shape: dict[str, int]) -> GPT2Config:
    """The configuration of a GPT-2 to be initialised at random: a published shape with fields of `shape` replaced.

    Raises:
        KeyError: `name` is not one of SHAPES.
    """
    return GPT2Config(**{**SHAPES[name], **shape})


def load_base(folder: str | Path) -> PreTrainedModel:
    """Load base weights in fp32 from their folder.

    Raises:
        WeightsError: see `load_weights`; or the head in the file is not the embedding that it is to be.
    """
    model: PreTrainedModel = load_weights(AutoModelForCausalLM, folder)
    check_head(model)
    return model


def untie_head(model: PreTrainedModel) -> None:
    """Give the head a weight of its own, equal to the embedding's."""
    model.config.tie_word_embeddings = False
    weight = model.get_input_embeddings().weight
    head_of(model).weight = nn.Parameter(weight.detach().clone())


def add_adapters(model: PreTrainedModel, lora: LoRASettings, generator: torch.Generator) -> None:
    """Replace the target projections of `model`, in place, by LoRALinear layers with fresh adapters.

    On the meta device nothing is drawn; shapes and parameter counts are those of a real model.

    Raises:
        ArchitectureError: the model has no projection of a target.
    """
    refuse_targets(model, lora.targets)
    prefix = block_prefix(model)
    names = [
        f"{prefix}.{index}.{name}"
        for index, block in enumerate(blocks_of(model))
        for name, _ in projections_of(block)
        if targeted(name, lora.targets)
    ]
    if "head" in lora.targets:
        names.append(head_name(model))
    for name in names:
        layer = LoRALinear(model.get_submodule(name), lora)
        if layer.lora_A.device.type != "meta":
            layer.initialise(generator)
        model.set_submodule(name, layer)


def select_trainable(
    model: PreTrainedModel,
    method: Method,
    also_train: Collection[str] = (),
) -> None:
    """Set `requires_grad` of every parameter: all for "full"; else the adapters and the named groups.

    Which parameters of PEFT's adapters train, `model.peft_adapters` has said.

    Args:
        method: that of the model's adapters.
        also_train: any of "embeddings", "biases", "layernorms", "head" (the head's weight, not its adapter).

    Raises:
        ValueError: an unknown group, or "head" while it is tied to an embedding that is not to train.
    """
    unknown = set(also_train) - set(TRAINED_GROUPS)
    if unknown:
        raise ValueError(f"unknown group {sorted(unknown)[0]!r} in also_train; accepted: {', '.join(TRAINED_GROUPS)}")
    if "head" in also_train and "embeddings" not in also_train and model.config.tie_word_embeddings:
        raise ValueError("also_train has 'head', which is tied to the embedding: add 'embeddings' or untie the head")
    groups = _groups(model)
    for name, parameter in model.named_parameters():
        of_adapter = parameter.requires_grad if groups[name] == ADAPTERS else name.endswith(LORALIB_NAMES)
        parameter.requires_grad_(method == "full" or of_adapter or groups[name] in also_train)


def _groups(model: PreTrainedModel) -> dict[str, str]:
    """The group of each parameter by its name; a tied weight is the embedding's."""
    embeddings, head = embeddings_of(model), head_of(model)
    groups: dict[str, str] = {}
    of_peft = peft_parameters(model)
    for module_name, module in model.named_modules():
        for kind, _ in module.named_parameters(recurse=False):
            if f"{module_name}.{kind}" in of_peft:
                group = ADAPTERS
            elif module in embeddings:
                group = "embeddings"
            elif module is head:
                group = "head"
            elif isinstance(module, nn.Linear | Conv1D):
                group = "biases" if kind == "bias" else "projections"
            else:  # a LayerNorm's bias belongs to the LayerNorm
                group = "layernorms"
            groups[f"{module_name}.{kind}"] = group
    return groups


def peft_parameters(model: nn.Module) -> set[str]:
    """Names of the parameters that PEFT's layers have beside the projections which they keep as `base_layer`."""
    return {
        f"{prefix}.{name}"
        for prefix, layer in model.named_modules()
        if hasattr(layer, "base_layer")
        for name, _ in layer.named_parameters()
        if not name.startswith("base_layer.")
    }


def trained_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and parameters of what trains, in the model's order; a tied weight comes once."""
    return ((name, p) for name, p in model.named_parameters() if p.requires_grad)


def cast_frozen_projections(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Keep weights and biases of the blocks' projections that don't train in `dtype`, in place.

    Autocast to `dtype` would make that copy in every step: results stay the same to the bit. Outside autocast such a
    model no longer runs, and `merge` refuses it; load the base anew for that and `assign_trained`. A projection with
    an adapter of PEFT's stays: what some of them do to the weight themselves would round otherwise.
    """
    for block in blocks_of(model):
        for projection in plain_projections_of(block):
            for parameter in (projection.weight, projection.bias):
                if parameter is not None and not parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)


def merge(model: PreTrainedModel) -> PreTrainedModel:
    """Turn every LoRALinear of `model`, in place, into the plain layer W + s B A, and return the model.

    A head that has an adapter is untied from the embedding, which must not receive the head's update.

    Raises:
        ValueError: a frozen weight has been rounded by `cast_frozen_projections`.
    """
    head = head_of(model)
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, LoRALinear):
            continue
        if layer.weight.dtype != layer.lora_A.dtype:
            raise ValueError(f"{name}: the frozen weight is {layer.weight.dtype}; merge into a base loaded in fp32")
        with torch.device("meta"):
            fan_out, fan_in = layer.lora_B.shape[0], layer.lora_A.shape[1]
            plain: nn.Module = (
                Conv1D(fan_out, fan_in)
                if layer.fan_in_fan_out
                else nn.Linear(fan_in, fan_out, bias=layer.bias is not None)
            )
        plain.weight = nn.Parameter(layer.merged_weight(), requires_grad=layer.weight.requires_grad)
        if layer.bias is not None:
            plain.bias = layer.bias
        if layer is head:
            model.config.tie_word_embeddings = False
        model.set_submodule(name, plain)
    return model


def assign_trained(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Copy `values`, one tensor for each parameter that trains, into `model`.

    Raises:
        KeyError: there is no value for a parameter that trains.
    """
    with torch.no_grad():
        for name, parameter in trained_parameters(model):
            parameter.copy_(values[name])


def save_trained(model: nn.Module, path: Path) -> None:
    """Write what trains, under the checkpoint's names: the adapters alone for LoRA, all weights for full."""
    save_file({name: p.detach().contiguous().cpu() for name, p in trained_parameters(model)}, path)


def load_trained(model: nn.Module, path: Path) -> None:
    """Copy what `save_trained` wrote into `model`, which must have the same adapters and train the same parameters.

    Raises:
        ValueError: a key of the file is not trained by the model, one is missing, or a shape differs. Nothing is
            changed then: adapters dropped silently are how a study can score its base model under another name.
    """
    stored = load_file(path)
    trained = dict(trained_parameters(model))
    missing, unexpected = sorted(trained.keys() - stored.keys()), sorted(stored.keys() - trained.keys())
    if missing or unexpected:
        raise ValueError(
            f"{path} does not fit the model: {len(missing)} keys missing (first: {missing[:1]}), "
            f"{len(unexpected)} unexpected (first: {unexpected[:1]})"
        )
    for name, parameter in trained.items():
        if parameter.shape != stored[name].shape:
            raise ValueError(
                f"{path}: {name} has shape {tuple(stored[name].shape)}, the model's is {tuple(parameter.shape)}"
            )
    assign_trained(model, stored)
