"""Base weights of 4 bits, as QLoRA has them (Dettmers et al. 2023, arXiv:2305.14314), by bitsandbytes.

All projections of the blocks are quantised, to NF4 with a scale for 64 weights and without double quantisation.
"""

from types import ModuleType

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from model.architectures import block_prefix, blocks_of, projections_of

QUANT_TYPE = "nf4"


class MissingPackageError(Exception):
    """A package that an extra installs is not there. The message is one line, for the user."""


def bitsandbytes() -> ModuleType:
    """The package.

    Raises:
        MissingPackageError: it is not there, or does not load.
    """
    try:
        import bitsandbytes as package
    except (ImportError, RuntimeError, OSError):
        raise MissingPackageError(
            "it needs bitsandbytes, which is not installed; accepted: pip install 'sft-sweep[quantized]'"
        ) from None
    return package  # type: ignore[no-any-return]


def quantise(model: PreTrainedModel, compute_dtype: torch.dtype) -> None:
    """Replace the projections of the blocks of `model`, in place, by bitsandbytes' layers of 4 bits.

    GPT-2's projections, which lie the other way round, become linear layers. On the meta device nothing changes.

    Args:
        model: with weights in fp32.
        compute_dtype: of the products with weights that have been unpacked.

    Raises:
        MissingPackageError: see `bitsandbytes`.
    """
    package = bitsandbytes()
    if next(model.parameters()).device.type == "meta":
        return
    prefix = block_prefix(model)
    layers = [
        (f"{prefix}.{index}.{name}", layer)
        for index, block in enumerate(blocks_of(model))
        for name, layer in projections_of(block)
    ]
    for name, layer in layers:
        weight = layer.weight.detach()
        weight = weight.T.contiguous() if isinstance(layer, Conv1D) else weight  # (out, in)
        with torch.device("meta"):
            small = package.nn.Linear4bit(
                weight.shape[1], weight.shape[0], layer.bias is not None, compute_dtype, quant_type=QUANT_TYPE
            )
        small.weight = package.nn.Params4bit(
            weight, requires_grad=False, compress_statistics=False, quant_type=QUANT_TYPE, module=small
        ).to(weight.device)
        if layer.bias is not None:
            small.bias = layer.bias
        model.set_submodule(name, small)


def as_quantised(compute_dtype: torch.dtype) -> BitsAndBytesConfig:
    """How transformers loads the weights that `quantise` makes, for `from_pretrained`'s `quantization_config`."""
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=QUANT_TYPE, bnb_4bit_compute_dtype=compute_dtype)
