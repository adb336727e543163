"""GPT-2's forward pass over the modules of a Hugging Face model, without its masks, logits and Python arithmetic.

The function is that of `GPT2LMHeadModel` (transformers 5.23.0, `models/gpt2/modeling_gpt2.py`), whose modules and
weights it reads; `tests/model/test_forward.py` holds the two together. It differs in what it costs. Attention is causal
by flag, not by a mask tensor. `gelu_new`, which Hugging Face spells out in seven operations (`activations.py`), is
PyTorch's fused tanh GELU. The head is left to the caller, who seldom needs the logits of all positions at once.

Shapes, here and in the other files of `model/`:

    B  windows of a pass        H  heads                  V  tokens of the vocabulary
    T  positions of a window    D  width of a head        N  rows of a product, such as B T
    C  width, H D               r  rank of an adapter
"""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block
from transformers.pytorch_utils import Conv1D

from model.dropout import by_window
from model.lora_linear import LoRALinear
from model.projection import project

TANH_GELU = ("gelu_new", "gelu_pytorch_tanh")
"""Two names of one function in a configuration; GPT-2's checkpoints have the first."""


class Attend(Protocol):
    """How positions see each other: `GPT2Attention` without its projections."""

    def __call__(self, layer: GPT2Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mix the values.

        Args:
            layer: whose scale and dropout apply.
            q, k, v: queries, keys and values, (B, H, T, D).

        Returns:
            The mixed values, (B, H, T, D).
        """


class BiasedAttend(Protocol):
    """The same, causally or as a bias has it."""

    def __call__(self, layer: GPT2Attention, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Mix the values; `bias` (B, 1, T, T) is added to the scores, see `model.attention_mask`."""


class Block(Protocol):
    """One transformer block, as `transformer_block` takes it and however it is computed."""

    def __call__(self, layer: GPT2Block, x: Tensor, attend: Attend, tanh_gelu: bool, rank_multiple: int, /) -> Tensor:
        """The residual stream behind the block, (B, T, C) like `x`."""


def attend_causally(layer: GPT2Attention, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Every position sees itself and those before it, or what a bias lets it see: softmax(scale q k^T + bias) v.

    It is PyTorch's `scaled_dot_product_attention`, which takes a fused kernel where there is one (FlashAttention-2,
    arXiv:2307.08691, for bf16 on a GPU without a bias). Arguments and result are those of `BiasedAttend`.
    """
    dropout = layer.attn_dropout.p if layer.training else 0.0

    def mix(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=bias, dropout_p=dropout, is_causal=bias is None, scale=attention_scale(layer)
        )

    operands = (q, k, v) if bias is None else (q, k, v, bias)
    return by_window(layer.attn_dropout, mix, *operands) if dropout else mix(*operands)


def attention_scale(layer: GPT2Attention) -> float:
    """What scores are multiplied by: 1 / sqrt(D), unless the configuration says otherwise.

    As in `GPT2Attention` (transformers 5.23.0, `models/gpt2/modeling_gpt2.py`).
    """
    scale = layer.head_dim**-0.5 if layer.scale_attn_weights else 1.0
    return scale / (layer.layer_idx + 1) if layer.scale_attn_by_inverse_layer_idx else scale


def transformer_block(layer: GPT2Block, x: Tensor, attend: Attend, tanh_gelu: bool, rank_multiple: int) -> Tensor:
    """One block on the residual stream x (B, T, C).

    `tanh_gelu` is false for other activations; adapters' ranks are padded to a multiple of `rank_multiple`.
    """
    x = x + _attention(layer.attn, layer.ln_1(x), attend, rank_multiple)  # (B, T, C)
    return x + _mlp(layer.mlp, layer.ln_2(x), tanh_gelu, rank_multiple)  # (B, T, C)


def hidden_states(
    model: GPT2LMHeadModel,
    tokens: Tensor,
    positions: Tensor | None = None,
    attend: Attend = attend_causally,
    block: Block = transformer_block,
    rank_multiple: int = 1,
) -> Tensor:
    """All of the model but its head.

    Args:
        model: the model.
        tokens: token ids, (B, T).
        positions: (B, T), or 0, 1, 2 and so on in every row if None.
        attend: how positions see each other.
        block: `transformer_block`, as it is, compiled or checkpointed.
        rank_multiple: what adapters' ranks are padded to a multiple of in products, see `model.matmul.RANK_MULTIPLE`.
            Padding costs four small kernels an adapter: it pays at a batch's rows, not at those of a decoding step.

    Returns:
        The last LayerNorm's output, (B, T, C).
    """
    body = model.transformer
    at = body.wpe.weight[: tokens.shape[1]] if positions is None else body.wpe(positions)  # (T, C) or (B, T, C)
    x = body.drop(body.wte(tokens) + at)  # (B, T, C)
    tanh_gelu = model.config.activation_function in TANH_GELU
    for layer in body.h:
        x = block(layer, x, attend, tanh_gelu, rank_multiple)  # (B, T, C)
    normed: Tensor = body.ln_f(x)  # (B, T, C)
    return normed


def _attention(layer: GPT2Attention, x: Tensor, attend: Attend, rank_multiple: int) -> Tensor:
    heads = (*x.shape[:2], layer.num_heads, layer.head_dim)  # B, T, H, D
    q, k, v = _project(x, layer.c_attn, rank_multiple).split(
        layer.embed_dim, dim=2
    )  # (B, T, 3 C) -> three of (B, T, C)
    q, k, v = (part.view(heads).transpose(1, 2) for part in (q, k, v))  # (B, H, T, D)
    mixed = attend(layer, q, k, v).transpose(1, 2).reshape(x.shape)  # (B, H, T, D) -> (B, T, C)
    output: Tensor = layer.resid_dropout(_project(mixed, layer.c_proj, rank_multiple))  # (B, T, C)
    return output


def _mlp(layer: GPT2MLP, x: Tensor, tanh_gelu: bool, rank_multiple: int) -> Tensor:
    inner = _project(x, layer.c_fc, rank_multiple)  # (B, T, 4 C)
    activated = inner if tanh_gelu else layer.act(inner)
    output = _project(activated, layer.c_proj, rank_multiple, after_gelu=tanh_gelu)  # (B, T, C)
    dropped: Tensor = layer.dropout(output)
    return dropped


def _project(x: Tensor, layer: nn.Module, rank_multiple: int, after_gelu: bool = False) -> Tensor:
    if not isinstance(layer, Conv1D | LoRALinear):  # a layer of PEFT's, which may do anything to input and weight
        y: Tensor = layer(F.gelu(x, approximate="tanh") if after_gelu else x)
        return y
    adapter = layer.adapter if isinstance(layer, LoRALinear) else None
    return project(x, layer.weight, layer.bias, adapter, after_gelu, rank_multiple)
