"""A projection, what is done to its input and the adapter beside it, as one differentiable operation.

Autograd's own graph keeps the GELU's input and its output, keeps x once more for the adapter, and makes three tensors
of the output's size to add the adapter's product; of a gated MLP such as SwiGLU (Shazeer 2020, arXiv:2002.05202) it
keeps four. Here the GELU and the gate are computed again in the backward pass, the adapter's product is accumulated
into the frozen one's, and W + s A^T B^T and gradients nobody asked for never exist.

Where a device wants ranks of a multiple (`model.matmul.RANK_MULTIPLE`), A and B are padded with zeros for the products.
What the zeros add is exactly zero, and gradients have the shapes of A and B.

The formula is that of `loralib.Linear.forward` (loralib 0.1.2, `loralib/layers.py`); the kernel (in, out) lies as in
`Conv1D` (transformers 5.23.0, `pytorch_utils.py`). N stands for rows, r for the adapter's rank, R for the padded rank.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.matmul import linear, padded, round_up

Adapter = tuple[Tensor, Tensor, float]
"""A (r, in), B (out, r) and the scaling s."""

Gate = tuple[Tensor, Callable[[Tensor], Tensor]]
"""What an input is multiplied by, before its activation, and that activation: elementwise and without parameters."""


def project(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    adapter: Adapter | None = None,
    after_gelu: bool = False,
    rank_multiple: int = 1,
    gate: Gate | None = None,
) -> Tensor:
    """y = h kernel + bias + s (h A^T) B^T, where h is x, its GELU (GPT-2's tanh form), or x * activation(gate).

    Args:
        x: (..., in).
        kernel: the weight, (in, out).
        bias: (out,), or None.
        adapter: A (r, in), B (out, r) and s, or None.
        after_gelu: whether h is x's GELU.
        rank_multiple: what the adapter's rank is padded to a multiple of.
        gate: (..., in) and its activation, or None.

    Returns:
        (..., out); under autocast in its dtype.
    """
    A, B, scaling = adapter or (None, None, 0.0)
    gate_input, activation = gate or (None, None)
    operands = [x, kernel, bias, gate_input]
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        operands = [tensor if tensor is None else tensor.to(dtype) for tensor in operands]
    y: Tensor = _Projection.apply(*operands, activation, A, B, scaling, after_gelu, rank_multiple)
    return y


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        kernel: Tensor,
        bias: Tensor | None,
        gate: Tensor | None,
        activation: Callable[[Tensor], Tensor] | None,
        A: Tensor | None,
        B: Tensor | None,
        scaling: float,
        after_gelu: bool,
        rank_multiple: int,
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (N, in)
        h = F.gelu(rows, approximate="tanh") if after_gelu else rows  # (N, in)
        if gate is not None and activation is not None:
            gate = gate.reshape(rows.shape)  # (N, in)
            h = activation(gate) * rows  # (N, in)
        y = linear(h, kernel.T, bias)  # (N, in) @ (in, out) -> (N, out)
        low = None
        if A is not None and B is not None:
            ctx.rank, ctx.adapter_dtype = A.shape[0], A.dtype
            rank = round_up(A.shape[0], rank_multiple)  # R
            A = padded(A, (rank, A.shape[1]), h.dtype)  # (R, in)
            B = padded(B, (B.shape[0], rank), h.dtype)  # (out, R)
            low = h @ A.T  # (N, in) @ (in, R) -> (N, R)
            y.addmm_(low, B.T, alpha=scaling)  # (N, R) @ (R, out) -> (N, out)
        ctx.save_for_backward(rows, kernel, gate, A, B, low)
        ctx.activation, ctx.scaling, ctx.after_gelu, ctx.shape = activation, scaling, after_gelu, x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        rows, kernel, gate, A, B, low = ctx.saved_tensors
        needs_x, needs_kernel, needs_bias, needs_gate, _, needs_A, needs_B, *_ = ctx.needs_input_grad
        dy = dy.reshape(-1, dy.shape[-1])  # (N, out)
        dx = dA = dB = dgate = None
        if needs_x or needs_gate:
            dx = linear(dy, kernel)  # (N, out) @ (out, in) -> (N, in)
        if A is not None:
            dlow = dy @ B  # (N, out) @ (out, R) -> (N, R)
            if needs_B:
                dB = (dy.T @ low)[:, : ctx.rank].mul_(ctx.scaling)  # (out, N) @ (N, R) -> (out, R), of it (out, r)
                dB = dB.to(ctx.adapter_dtype)
            if dx is not None:
                dx.addmm_(dlow, A, alpha=ctx.scaling)  # (N, R) @ (R, in) -> (N, in)
        if dx is not None and ctx.after_gelu:
            dx = torch.ops.aten.gelu_backward(dx, rows, approximate="tanh")
        h = rows
        if gate is not None:
            with torch.enable_grad():
                gate = gate.detach().requires_grad_()
                activated = ctx.activation(gate)  # (N, in)
            if needs_kernel or needs_A:
                h = activated.detach() * rows  # (N, in)
            if dx is not None:
                (dgate,) = torch.autograd.grad(activated, gate, dx * rows)  # (N, in)
                dx.mul_(activated.detach())
        if ctx.after_gelu and (needs_kernel or needs_A):
            h = F.gelu(rows, approximate="tanh")
        if needs_A:
            dA = (dlow.T @ h)[: ctx.rank].mul_(ctx.scaling)  # (R, N) @ (N, in) -> (R, in), of it (r, in)
            dA = dA.to(ctx.adapter_dtype)
        dkernel = None
        if needs_kernel:  # (in, N) @ (N, out) -> (in, out), which lies in memory as the kernel does
            dkernel = h.T @ dy if kernel.is_contiguous() else (dy.T @ h).T
        dbias = dy.sum(0) if needs_bias else None  # (out,)
        dx, dgate = (part if part is None else part.view(ctx.shape) for part in (dx, dgate))
        return dx, dkernel, dbias, dgate, None, dA, dB, None, None, None
