"""A linear layer with a LoRA adapter, in loralib's form, whose two products and their gradients are one operation.

LoRA (Hu et al. 2021, arXiv:2106.09685): y = x W + b + s (x A^T) B^T with s = alpha / r, A (r, in) and B (out, r)
trained and W, b frozen. B starts at zero, so a fresh adapter leaves the layer's output as it is.
"""

import math
from dataclasses import dataclass
from typing import Any

import loralib
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class LoRASettings:
    """Which projections get an adapter, of which rank; the adapter's product is scaled by alpha / rank."""

    rank: int
    alpha: float
    targets: tuple[str, ...] = ("attention_in", "attention_out", "mlp_in", "mlp_out")


class LoRALinear(loralib.Linear):  # type: ignore[misc]  # loralib has no types
    """loralib's linear layer around an existing projection, whose weight and bias it takes over without a copy.

    `merge_weights` is off: loralib would add B A into the weight on every `.eval()` and subtract it on `.train()`,
    which drifts in floating point and puts the adapter twice into anything saved in between. Here the weight
    never changes; `model.gpt2_lora.merge` makes a plain layer when one is wanted.
    """

    def __init__(self, base: Conv1D | nn.Linear, lora: LoRASettings) -> None:
        conv1d = isinstance(base, Conv1D)  # GPT-2 stores (in, out); nn.Linear stores (out, in)
        fan_in, fan_out = base.weight.shape if conv1d else reversed(base.weight.shape)
        with torch.device("meta"):  # loralib would allocate and initialise a weight that is thrown away at once
            super().__init__(
                fan_in,
                fan_out,
                r=lora.rank,
                lora_alpha=lora.alpha,
                fan_in_fan_out=conv1d,
                merge_weights=False,
                bias=base.bias is not None,
            )
        self.weight = base.weight
        self.bias = base.bias
        self.lora_A = nn.Parameter(torch.empty(lora.rank, fan_in, device=base.weight.device))
        self.lora_B = nn.Parameter(torch.empty(fan_out, lora.rank, device=base.weight.device))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw A as loralib does (Kaiming uniform with a = sqrt(5)), from `generator`, and set B to zero."""
        with torch.no_grad():
            drawn = torch.empty(self.lora_A.shape)  # drawn on the CPU: the same A on every device
            nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
            self.lora_A.copy_(drawn)
            self.lora_B.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """y = x W + b + s (x A^T) B^T for x (..., in), as loralib computes it; under autocast in its dtype."""
        kernel = self.weight if self.fan_in_fan_out else self.weight.T
        operands: list[Tensor | None] = [x, kernel, self.bias, self.lora_A, self.lora_B]
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            operands = [tensor if tensor is None else tensor.to(dtype) for tensor in operands]
        y: Tensor = _LoRAProduct.apply(*operands, self.scaling)
        return y

    def merged_weight(self) -> Tensor:
        """W + (alpha / r) B A, in the orientation of the weight it replaces."""
        update: Tensor = (self.lora_B @ self.lora_A) * self.scaling
        merged: Tensor = self.weight.detach() + (update.T if self.fan_in_fan_out else update).detach()
        return merged


class _LoRAProduct(torch.autograd.Function):
    """x W + b + s (x A^T) B^T without ever forming W + s A^T B^T or a gradient that nobody asked for.

    Autograd's own graph would keep x twice and add three tensors of the output's size; here the adapter's product is
    accumulated into the frozen one's, in the forward pass and in the gradient of x.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor | None, A: Tensor, B: Tensor, scaling: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ A.T
        y = rows @ kernel if bias is None else torch.addmm(bias, rows, kernel)
        y.addmm_(low, B.T, alpha=scaling)
        ctx.save_for_backward(rows, kernel, A, B, low)
        ctx.scaling = scaling
        ctx.shape = x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        rows, kernel, A, B, low = ctx.saved_tensors
        s = ctx.scaling
        needs_x, needs_kernel, needs_bias, needs_A, needs_B, _ = ctx.needs_input_grad
        dy = dy.reshape(-1, dy.shape[-1])
        dlow = dy @ B
        dx = (dy @ kernel.T).addmm_(dlow, A, alpha=s).view(ctx.shape) if needs_x else None
        return (
            dx,
            rows.T @ dy if needs_kernel else None,
            dy.sum(0) if needs_bias else None,
            (dlow.T @ rows).mul_(s) if needs_A else None,
            (dy.T @ low).mul_(s) if needs_B else None,
            None,
        )
