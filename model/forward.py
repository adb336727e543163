"""GPT-2's forward pass over the modules of a Hugging Face model, without its masks, logits and Python arithmetic.

The function is that of `GPT2LMHeadModel` (transformers 5.23), whose modules and weights it reads; the tests hold the
two together. It differs in what it costs: attention is causal by flag, not by a mask tensor; `gelu_new`, which Hugging
Face spells out in seven operations, is PyTorch's fused tanh GELU; and the head is left to the caller, who seldom
needs the logits of all positions at once.
"""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block
from transformers.pytorch_utils import Conv1D

from model.dropout import by_window
from model.lora_linear import LoRALinear
from model.matmul import linear
from model.projection import project

TANH_GELU = ("gelu_new", "gelu_pytorch_tanh")
"""Two names of one function in a configuration; GPT-2's checkpoints have the first."""


class Attend(Protocol):
    """What stands between queries, keys and values (batch, heads, length, width of a head) and the mixed values."""

    def __call__(self, layer: GPT2Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mixed values in the shape of `q`."""


class Block(Protocol):
    """One transformer block, as `transformer_block` takes it and however it is computed."""

    def __call__(self, layer: GPT2Block, x: Tensor, attend: Attend, tanh_gelu: bool, /) -> Tensor:
        """The residual stream behind the block, in the shape of `x`."""


def attend_causally(layer: GPT2Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every position sees itself and those before it."""
    dropout = layer.attn_dropout.p if layer.training else 0.0

    def mix(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=attention_scale(layer))

    return by_window(layer.attn_dropout, mix, q, k, v) if dropout else mix(q, k, v)


def attention_scale(layer: GPT2Attention) -> float:
    """What scores are multiplied by: 1 / sqrt(width of a head), unless the configuration says otherwise."""
    scale = layer.head_dim**-0.5 if layer.scale_attn_weights else 1.0
    return scale / (layer.layer_idx + 1) if layer.scale_attn_by_inverse_layer_idx else scale


def transformer_block(layer: GPT2Block, x: Tensor, attend: Attend, tanh_gelu: bool) -> Tensor:
    """One block on the residual stream x (batch, length, width); `tanh_gelu` is false for other activations."""
    x = x + _attention(layer.attn, layer.ln_1(x), attend)
    return x + _mlp(layer.mlp, layer.ln_2(x), tanh_gelu)


def hidden_states(
    model: GPT2LMHeadModel,
    tokens: Tensor,
    positions: Tensor | None = None,
    attend: Attend = attend_causally,
    block: Block = transformer_block,
) -> Tensor:
    """The last LayerNorm's output, (batch, length, width), for token ids (batch, length).

    Args:
        positions: (batch, length), or 0, 1, 2 and so on in every row if None.
        attend: how positions see each other.
        block: `transformer_block`, as it is, compiled or checkpointed.
    """
    body = model.transformer
    where = body.wpe.weight[: tokens.shape[1]] if positions is None else body.wpe(positions)
    x = body.drop(body.wte(tokens) + where)
    tanh_gelu = model.config.activation_function in TANH_GELU
    for layer in body.h:
        x = block(layer, x, attend, tanh_gelu)
    normed: Tensor = body.ln_f(x)
    return normed


def head_terms(model: GPT2LMHeadModel, hidden: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Pairs of x (rows, ...) and w (vocabulary, ...) with logits = sum of x @ w.T, for `hidden` (rows, width).

    One pair for a plain head; with an adapter a second one, so that neither W + s B A nor its product is formed.
    """
    head = model.lm_head
    terms = [(hidden, head.weight)]
    if isinstance(head, LoRALinear):
        terms.append((F.linear(hidden, head.lora_A) * head.scaling, head.lora_B))
    return terms


def last_logits(model: GPT2LMHeadModel, hidden: Tensor) -> Tensor:
    """Logits (rows, vocabulary) of `hidden` (rows, width), for decoding: no autograd."""
    (x, w), *adapter = head_terms(model, hidden)
    logits = linear(x, w)
    for low, B in adapter:
        logits.addmm_(low, B.T)
    return logits


def _attention(layer: GPT2Attention, x: Tensor, attend: Attend) -> Tensor:
    heads = (*x.shape[:2], layer.num_heads, layer.head_dim)
    q, k, v = (part.view(heads).transpose(1, 2) for part in _project(x, layer.c_attn).split(layer.embed_dim, dim=2))
    mixed = attend(layer, q, k, v).transpose(1, 2).reshape(x.shape)
    output: Tensor = layer.resid_dropout(_project(mixed, layer.c_proj))
    return output


def _mlp(layer: GPT2MLP, x: Tensor, tanh_gelu: bool) -> Tensor:
    inner = _project(x, layer.c_fc)
    output = _project(inner if tanh_gelu else layer.act(inner), layer.c_proj, after_gelu=tanh_gelu)
    dropped: Tensor = layer.dropout(output)
    return dropped


def _project(x: Tensor, layer: Conv1D | LoRALinear, after_gelu: bool = False) -> Tensor:
    adapter = layer.adapter if isinstance(layer, LoRALinear) else None
    return project(x, layer.weight, layer.bias, adapter, after_gelu)
