"""A decoder's norms, gated MLPs and linear layers, computed in fewer passes over memory than transformers takes.

transformers (5.23.0, `models/llama/modeling_llama.py`) makes a tensor for each operator of a formula, and autograd
keeps most of them. Here a norm, and a projection with the gate before it (`model.projection`), are one differentiable
operation each, which keeps its inputs. `place_layers` puts them into the
modules of a model, whose names, parameters and classes stay as they are.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from model.architectures import blocks_of, gated_mlps_of, projections_of, rms_norms_of
from model.projection import Gate, project


def place_layers(model: PreTrainedModel) -> None:
    """Have a model compute its norms, gated MLPs and linear layers of blocks by the functions below, in place.

    Layers with an adapter compute by `project` already. May be called again, for layers that have come since.
    """
    for module, epsilon, offset in rms_norms_of(model):
        module.forward = partial(_norm, module, epsilon, offset)  # type: ignore[method-assign]
    for module in gated_mlps_of(model):
        module.forward = partial(_gated_mlp, module)  # type: ignore[method-assign]
    for block in blocks_of(model):
        for _, layer in projections_of(block):
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


def _gated_mlp(module: Any, x: Tensor) -> Tensor:
    y: Tensor = module.down_proj(module.up_proj(x), gate=(module.gate_proj(x), module.act_fn))
    return y


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
