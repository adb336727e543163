"""Norms, rotations, gated MLPs and linear layers of a decoder, in fewer passes over memory than in transformers.

There (5.23.0, `models/llama/modeling_llama.py`) each operator of a formula makes a tensor, and autograd keeps most of
them. Here a norm, a rotation, and a projection with the gate before it (`model.projection`) are one differentiable
operation each, which keeps its inputs. `place_layers` puts them into the modules of a model, whose names, parameters
and classes stay as they are.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from model.architectures import blocks_of, gated_mlps_of, plain_projections_of, rms_norms_of, rotary_attentions_of
from model.lora_linear import LoRALinear
from model.projection import Gate, project


def place_layers(model: PreTrainedModel, attention: str) -> None:
    """Have a model compute its norms, rotations, gated MLPs and linear layers of blocks as told here, in place.

    Layers with loralib's adapter compute by `project` already, and those with one of PEFT's by PEFT. May be called
    again, for layers that have come since.

    Args:
        model: the model.
        attention: what transformers calls the attention that is behind the rotation.
    """
    for module in rotary_attentions_of(model):
        module.forward = partial(_attention, module, ALL_ATTENTION_FUNCTIONS[attention])  # type: ignore[method-assign]
    for module, epsilon, offset in rms_norms_of(model):
        module.forward = partial(_norm, module, epsilon, offset)  # type: ignore[method-assign]
    for module in gated_mlps_of(model):
        module.forward = partial(_gated_mlp, module)  # type: ignore[method-assign]
    for block in blocks_of(model):
        for layer in plain_projections_of(block):
            if type(layer) is nn.Linear:
                layer.forward = partial(_linear, layer)  # type: ignore[method-assign]


def _linear(layer: nn.Linear, x: Tensor, gate: Gate | None = None) -> Tensor:
    return project(x, layer.weight.T, layer.bias, gate=gate)


def _norm(module: nn.Module, epsilon: float, offset: float, x: Tensor) -> Tensor:
    weight: Tensor = module.weight  # type: ignore[assignment]
    if not x.dtype == weight.dtype == torch.float32:  # architectures differ in where they round
        y: Tensor = type(module).forward(module, x)
        return y
    return rms_norm(x, weight + offset if offset else weight, epsilon)


def _attention(
    module: Any,
    attend: Callable[..., tuple[Tensor, None]],
    hidden_states: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    attention_mask: Tensor | None = None,
    past_key_values: Cache | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """`LlamaAttention.forward`, and what Mistral and Qwen have beside it."""
    shape = (*hidden_states.shape[:-1], -1, module.head_dim)  # B, T, H, D
    q, k, v = (layer(hidden_states).view(shape) for layer in (module.q_proj, module.k_proj, module.v_proj))
    if hasattr(module, "q_norm"):
        q, k = module.q_norm(q), module.k_norm(k)
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # (B, H, T, D)
    cos, sin = (part[:, None] for part in position_embeddings)  # (1 or B, 1, T, D)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    if past_key_values is not None:
        k, v = past_key_values.update(k, v, module.layer_idx)
    window = getattr(module, "sliding_window", getattr(module.config, "sliding_window", None))
    dropout = module.attention_dropout if module.training else 0.0
    mixed, _ = attend(
        module, q, k, v, attention_mask, dropout=dropout, scaling=module.scaling, sliding_window=window, **options
    )
    output: Tensor = module.o_proj(mixed.reshape(*shape[:2], -1))
    return output, None


def _gated_mlp(module: Any, x: Tensor) -> Tensor:
    up, gate = module.up_proj(x), (module.gate_proj(x), module.act_fn)
    down = module.down_proj
    if type(down) is nn.Linear:  # whether or not it was there when layers were placed
        return _linear(down, up, gate)
    if isinstance(down, LoRALinear):
        return down(up, gate=gate)  # type: ignore[no-any-return]
    y: Tensor = down(module.act_fn(gate[0]) * up)  # a layer of PEFT's, whose adapter sees the input, too
    return y


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x cos + (-x2, x1) sin, where x1 and x2 are the halves of x (Su et al. 2021, arXiv:2104.09864, equation 34).

    Args:
        x: queries or keys, (B, H, T, D).
        cos, sin: by position, (1 or B, 1, T, D).
    """
    y: Tensor = _Rotation.apply(x, cos, sin)
    return y


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(cos, sin)
        (x1, x2), (sin1, sin2) = x.chunk(2, -1), sin.chunk(2, -1)
        y = x * cos  # (B, H, T, D)
        y1, y2 = y.chunk(2, -1)
        y1.addcmul_(x2, sin1, value=-1)
        y2.addcmul_(x1, sin2)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        cos, sin = ctx.saved_tensors
        (dy1, dy2), (sin1, sin2) = dy.chunk(2, -1), sin.chunk(2, -1)
        dx = dy * cos  # (B, H, T, D)
        dx1, dx2 = dx.chunk(2, -1)
        dx1.addcmul_(dy2, sin2)
        dx2.addcmul_(dy1, sin1, value=-1)
        return dx, None, None


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * weight over the last dimension (Zhang and Sennrich 2019, arXiv:1910.07467).

    Args:
        x: (..., C).
        weight: (C,).
        epsilon: keeps a row of zeros from being divided by zero.
    """
    y: Tensor = _RMSNorm.apply(x, weight, epsilon)
    return y


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:  # type: ignore[override]
        norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)  # (..., 1)
        scale = norms.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()  # (..., 1)
        ctx.save_for_backward(x, weight, scale)
        y: Tensor = (x * scale).mul_(weight)  # (..., C)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """With s = 1 / sqrt(mean(x^2) + epsilon): dx = s dy w - x s^3 mean(dy w x), dw = sum over rows of dy x s."""
        x, weight, scale = ctx.saved_tensors
        needs_x, needs_weight, _ = ctx.needs_input_grad
        product = dy * x  # (..., C)
        dx = dweight = None
        if needs_x:
            along = (product @ weight)[..., None].mul_(scale**3).div_(-x.shape[-1])  # (..., 1)
            dx = (dy * weight).mul_(scale).addcmul_(x, along)  # (..., C)
        if needs_weight:
            dweight = scale.reshape(-1) @ product.reshape(-1, x.shape[-1])  # (N,) @ (N, C) -> (C,)
        return dx, dweight, None
