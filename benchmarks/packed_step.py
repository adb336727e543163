"""Takes one training step of several LoRA runs at once. Each product with a frozen weight takes the rows of all runs.

Every run stays an ordinary `SFTRun` with a model of its own, whose frozen weights are the base's (`with_shared_base`).
So its optimizers, its learning rate, its evaluation and its checkpoints are what they are when it trains alone; only
forward and backward are done together. A run's rows meet its own adapters and no others, and its loss is the mean over
its own rows, so it trains as it would alone.
"""

import copy
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from model.cross_entropy import CHUNKING, PAD_COLUMNS
from model.forward import attend_causally
from model.lora_linear import LoRALinear
from model.matmul import linear
from model.optimizers import set_learning_rate
from model.projection import Adapter
from model.sft import SFTRun


def with_shared_base(base: GPT2LMHeadModel) -> GPT2LMHeadModel:
    """A model with modules of its own, which can get adapters, and with the weights and buffers of `base`."""
    shared = {id(tensor): tensor for tensor in (*base.parameters(), *base.buffers())}
    model: GPT2LMHeadModel = copy.deepcopy(base, shared)
    return model


class PackedRuns:
    """Runs that take their steps together.

    Raises:
        ValueError: the runs have no frozen base in common, or need what a packed step does not do: dropout (its random
            numbers would not be those of the run alone), bf16, an adapter on the head, another activation.
    """

    def __init__(self, runs: Sequence[SFTRun]) -> None:
        self.runs = runs
        base = runs[0].model
        for run in runs:
            _check(run, base)

    def train_step(self, windows: Sequence[Tensor]) -> Tensor:
        """One optimizer step of every run on its own windows.

        Args:
            windows: (batch, block + 1) token ids for each run; batches may differ, the block may not. A batch is not
                split into micro-batches.

        Returns:
            (runs,): each run's mean loss in nats per token.
        """
        tokens = torch.cat(list(windows)).to(self.runs[0].device)
        counts = [w[:, 1:].numel() for w in windows]
        head = self.runs[0].model.lm_head.weight
        each = _RowLosses.apply(self._hidden(tokens[:, :-1], counts), head, tokens[:, 1:].flatten())
        losses = torch.stack([own.mean() for own in each.split(counts)])
        losses.sum().backward()  # no run's loss depends on another's adapters: each gets the gradient of its own
        for run in self.runs:
            _update(run)
        return losses.detach()

    def _hidden(self, tokens: Tensor, counts: Sequence[int]) -> Tensor:
        """The last LayerNorm's output, (rows, width), as `model.forward.hidden_states` computes it for one model."""
        bodies = [run.model.transformer for run in self.runs]
        base = bodies[0]
        x = base.wte(tokens) + base.wpe.weight[: tokens.shape[1]]
        for blocks in zip(*(body.h for body in bodies), strict=True):
            attention, mlp = [block.attn for block in blocks], [block.mlp for block in blocks]
            heads = (*x.shape[:2], attention[0].num_heads, attention[0].head_dim)
            qkv = _project(blocks[0].ln_1(x), [layer.c_attn for layer in attention], counts)
            q, k, v = (part.view(heads).transpose(1, 2) for part in qkv.split(attention[0].embed_dim, dim=2))
            mixed = attend_causally(attention[0], q, k, v).transpose(1, 2).reshape(x.shape)
            x = x + _project(mixed, [layer.c_proj for layer in attention], counts)
            inner = _project(blocks[0].ln_2(x), [layer.c_fc for layer in mlp], counts)
            x = x + _project(inner, [layer.c_proj for layer in mlp], counts, after_gelu=True)
        normed: Tensor = base.ln_f(x)
        return normed.flatten(0, 1)


def _check(run: SFTRun, base: GPT2LMHeadModel) -> None:
    frozen = [p for name, p in run.model.named_parameters() if "lora_" not in name]
    shared = {id(p) for p in base.parameters()}
    if any(p.requires_grad or id(p) not in shared for p in frozen):
        raise ValueError("packed runs train adapters alone, on one base that is frozen")
    if any(isinstance(module, nn.Dropout) and module.p for module in run.model.modules()):
        raise ValueError("packed runs have no dropout")
    if run.settings.precision != "fp32" or isinstance(run.model.lm_head, LoRALinear):
        raise ValueError("packed runs are in fp32, without an adapter on the head")
    if run.model.config.activation_function != "gelu_new":
        raise ValueError(f"packed runs have no {run.model.config.activation_function}")


def _update(run: SFTRun) -> None:
    """Do what `SFTRun.train_step` does after the backward pass."""
    set_learning_rate(run.optimizers, run.learning_rate_at(run.step))
    if run.settings.clip_norm is not None:
        nn.utils.clip_grad_norm_([p for p in run.model.parameters() if p.requires_grad], run.settings.clip_norm)
    for optimizer in run.optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    run.step += 1


def _project(
    x: Tensor, layers: Sequence[Conv1D | LoRALinear], counts: Sequence[int], after_gelu: bool = False
) -> Tensor:
    """`model.projection.project` where each `counts` rows of x (..., in) have the adapter, if any, of another layer."""
    ends = accumulate(counts)
    adapters: list[tuple[slice, Adapter]] = [
        (slice(end - count, end), layer.adapter)
        for layer, count, end in zip(layers, counts, ends, strict=True)
        if isinstance(layer, LoRALinear)
    ]
    rows_and_scalings = [(rows, scaling) for rows, (_, _, scaling) in adapters]
    matrices = [matrix for _, (A, B, _) in adapters for matrix in (A, B)]
    weight, bias = layers[0].weight, layers[0].bias
    y: Tensor = _PackedProjection.apply(x, weight, bias, after_gelu, rows_and_scalings, *matrices)
    return y


class _PackedProjection(torch.autograd.Function):
    """`model.projection`'s operation, with a frozen kernel and bias, and with many adapters."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        kernel: Tensor,
        bias: Tensor,
        after_gelu: bool,
        parts: Sequence[tuple[slice, float]],
        *matrices: Tensor,
    ) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        h = F.gelu(flat, approximate="tanh") if after_gelu else flat
        y = linear(h, kernel.T, bias)
        lows = []
        for (rows, scaling), A, B in zip(parts, matrices[::2], matrices[1::2], strict=True):
            lows.append(h[rows] @ A.T)
            y[rows].addmm_(lows[-1], B.T, alpha=scaling)
        ctx.save_for_backward(flat, kernel, *matrices, *lows)
        ctx.parts, ctx.after_gelu, ctx.shape = parts, after_gelu, x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        flat, kernel, *saved = ctx.saved_tensors
        matrices, lows = saved[: 2 * len(ctx.parts)], saved[2 * len(ctx.parts) :]
        dy = dy.reshape(-1, dy.shape[-1])
        dx = linear(dy, kernel) if ctx.needs_input_grad[0] else None
        h = F.gelu(flat, approximate="tanh") if ctx.after_gelu else flat
        gradients = []
        for (rows, scaling), A, B, low in zip(ctx.parts, matrices[::2], matrices[1::2], lows, strict=True):
            dlow = dy[rows] @ B
            gradients += [(dlow.T @ h[rows]).mul_(scaling), (dy[rows].T @ low).mul_(scaling)]
            if dx is not None:
                dx[rows].addmm_(dlow, A, alpha=scaling)
        if dx is not None and ctx.after_gelu:
            dx = torch.ops.aten.gelu_backward(dx, flat, approximate="tanh")
        return dx if dx is None else dx.view(ctx.shape), None, None, None, None, *gradients


class _RowLosses(torch.autograd.Function):
    """`model.cross_entropy`'s chunks, with a loss for each row instead of their sum: (rows,) in nats.

    A chunk spans runs, for the head's product is the slower by a half and more in pieces of 64 rows than in one of 256.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:  # type: ignore[override]
        vocabulary = len(weight)
        chunk = CHUNKING[hidden.device.type].rows
        padded = -(-vocabulary // PAD_COLUMNS) * PAD_COLUMNS
        buffer = hidden.new_empty(min(chunk, len(hidden)), padded)
        losses, ctx.dhidden = hidden.new_empty(len(hidden)), torch.empty_like(hidden)
        for own, x, dx, y in zip(*(t.split(chunk) for t in (losses, hidden, ctx.dhidden, targets)), strict=True):
            p = buffer[: len(x)]
            torch.mm(x, weight.T, out=p[:, :vocabulary])
            p[:, vocabulary:] = -torch.inf
            largest, at_target = p.amax(1), p.gather(1, y[:, None])[:, 0]
            torch.softmax(p, 1, out=p)
            own.copy_(largest - p.amax(1).log() - at_target)
            p.scatter_add_(1, y[:, None], p.new_full((), -1).expand(len(y), 1))
            torch.mm(p[:, :vocabulary], weight, out=dx)
        return losses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        dhidden, ctx.dhidden = ctx.dhidden, None
        return dhidden.mul_(upstream[:, None]), None, None
