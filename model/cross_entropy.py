"""Next-token cross-entropy that holds the logits of a chunk of positions at a time, never of a batch.

At GPT-2's vocabulary the logits of a batch are its largest tensor by far: 8 x 1024 positions take 1.6 GB in fp32, and
autograd keeps them with their softmax and their gradient. Here they come and go in chunks of rows, and since the
gradient of a mean of losses is known as soon as a chunk's logits are, it is computed at once, in the forward pass
(as in Liger Kernel's fused linear cross-entropy, arXiv:2410.10989). A frozen head costs two products, not three.

Shapes: N positions, R of them in a chunk; V tokens of the vocabulary, P that number rounded up to a multiple of
PAD_COLUMNS; K the width of a term, which is the model's width or an adapter's rank. Where a rank is padded, a weight
may be narrower: columns that it lacks are zeros.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from model.ledger import NO_LEDGER, StepLedger
from model.matmul import padded, round_up


@dataclass(frozen=True)
class Chunking:
    """How the positions of a pass are divided.

    Attributes:
        rows: positions that have logits at once.
        pad_weights: whether the head is laid out in a multiple of PAD_COLUMNS rows.
        most: how many chunks are computed; None: all. A prediction of memory needs two, since all share one buffer.
    """

    rows: int
    pad_weights: bool
    most: int | None = None


CHUNKING = {"cpu": Chunking(256, pad_weights=False), "cuda": Chunking(2048, pad_weights=True)}
"""By device: enough rows for the matrix products to run at full speed, and no more."""

SLAB_ROWS = 2048
"""Tokens of the vocabulary whose gradient is converted at once: as fast as all of them, in a fraction of the memory."""

SLAB_LOGITS = 2**22
"""Logits whose soft cap's slope is computed at once."""

PAD_COLUMNS = 64
"""Logits are laid out in rows of a multiple of this; at 50,257 columns MKL's product took half as long
again on an AMD EPYC."""


def chunked_cross_entropy(
    targets: Tensor,
    *terms: tuple[Tensor, Tensor],
    divisor: int | None = None,
    scale: Tensor | None = None,
    softcap: float | None = None,
    chunking: Chunking | None = None,
    ledger: StepLedger = NO_LEDGER,
) -> Tensor:
    """Sum over positions of the cross-entropy of `logits = sum of x @ w.T over terms` against `targets`, divided.

    Args:
        targets: (N,) token ids.
        terms: pairs of x (N, K) and w (V, K or fewer): hidden states and the head's weight, and for a head with an
            adapter the low-rank rows and B, see `model.forward.head_terms`. Under autocast the products are of its
            dtype; the softmax is in fp32 then.
        divisor: what the sum is divided by; N (so that the result is the mean) if None.
        scale: what gradients are multiplied by, a scalar; the result is not. In fp16 small gradients need it before
            they are rounded, which is here, and not where backward begins.
        softcap: the bound c of a head whose logits are c tanh(z / c) for products z, as Gemma 2 has it
            (arXiv:2408.00118, section 2); None: there is none.
        chunking: that of the targets' device if None.
        ledger: told which tensors are logits.

    Returns:
        A scalar in nats, fp32 (fp64 for fp64 terms).
    """
    device = targets.device.type
    flat = [tensor for x, w in terms for tensor in (_autocast(x), w)]
    divisor, chunking = divisor or len(targets), chunking or CHUNKING[device]
    with torch.autocast(device, enabled=False):
        loss: Tensor = _ChunkedCrossEntropy.apply(targets, divisor, scale, softcap, chunking, ledger, *flat)
    return loss


@torch.no_grad()
def position_losses(
    targets: Tensor, *terms: tuple[Tensor, Tensor], softcap: float | None = None, chunking: Chunking | None = None
) -> Tensor:
    """The cross-entropy of each position by itself, (N,) in nats; arguments as for `chunked_cross_entropy`."""
    device = targets.device.type
    chunking = chunking or CHUNKING[device]
    xs, vocabulary = [_autocast(x) for x, _ in terms], len(terms[0][1])
    losses = []
    with torch.autocast(device, enabled=False):
        ws, buffer = _laid_out(xs, [w for _, w in terms], min(chunking.rows, len(targets)), chunking.pad_weights)
        for start in range(0, len(targets), chunking.rows):
            of_chunk = targets[start : start + chunking.rows]  # (R,)
            logits = buffer[: len(of_chunk)]  # (R, P)
            _logits_into(logits, [x[start : start + chunking.rows] for x in xs], ws, vocabulary)
            z = _capped_(_at_least_fp32(logits), vocabulary, softcap)  # (R, P)
            at_target = z.gather(1, of_chunk[:, None])[:, 0]  # (R,)
            losses.append(_softmax_(z) - at_target)
    return torch.cat(losses) if losses else xs[0].new_empty(0, dtype=torch.float32)  # (N,)


def _autocast(x: Tensor) -> Tensor:
    """`x` as the products take it under autocast."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def _laid_out(xs: Sequence[Tensor], ws: Sequence[Tensor], rows: int, pad_weights: bool) -> tuple[list[Tensor], Tensor]:
    """The weights as the products take them, (V, K) or (P, K), and room for the logits of `rows` positions, (R, P)."""
    vocabulary = ws[0].shape[0]
    columns = round_up(vocabulary, PAD_COLUMNS)  # P
    height = columns if pad_weights else vocabulary
    operands = [padded(w, (height, x.shape[1]), x.dtype) for x, w in zip(xs, ws, strict=True)]
    return operands, xs[0].new_empty(rows, columns)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        targets: Tensor,
        divisor: int,
        scale: Tensor | None,
        softcap: float | None,
        chunking: Chunking,
        ledger: StepLedger,
        *flat: Tensor,
    ) -> Tensor:
        xs, heads, vocabulary = flat[::2], flat[1::2], flat[1].shape[0]
        chunk_rows = max(1, min(chunking.rows, len(targets)))  # where there is no target, there is no chunk
        needed = ctx.needs_input_grad[6:]
        # Chunks fill the gradient of x and add to that of w, which is as wide as x until the end.
        dxs = [torch.empty_like(x) if need else None for x, need in zip(xs, needed[::2], strict=True)]
        dws = [
            w.new_zeros(vocabulary, x.shape[1]) if need else None
            for x, w, need in zip(xs, heads, needed[1::2], strict=True)
        ]
        ws, buffer = _laid_out(xs, heads, chunk_rows, chunking.pad_weights)
        ledger.tag("logits", [buffer])
        factor = None if scale is None else scale / divisor  # of the gradients by the logits, in fp32
        alpha = 1 / divisor if factor is None else 1.0
        total = torch.zeros((), dtype=torch.promote_types(buffer.dtype, torch.float32), device=targets.device)
        for start in range(0, len(targets), chunk_rows)[: chunking.most]:
            rows = slice(start, min(start + chunk_rows, len(targets)))
            logits = buffer[: rows.stop - start]  # (R, P)
            _logits_into(logits, [x[rows] for x in xs], ws, vocabulary)
            total += _loss_and_gradient_(logits, vocabulary, targets[rows, None], factor, softcap, ledger)
            for x, w, dx, dw in zip(xs, ws, dxs, dws, strict=True):
                if dx is not None:  # (R, V) @ (V, K) -> (R, K)
                    torch.addmm(dx[rows], logits[:, : len(w)], w, beta=0, alpha=alpha, out=dx[rows])
                if dw is not None:  # (V, R) @ (R, K) -> (V, K)
                    _add_product(dw, logits[:, :vocabulary].T, x[rows], alpha)
        dws = [
            dw if dw is None or dw.shape == w.shape else dw[:, : w.shape[1]] for dw, w in zip(dws, heads, strict=True)
        ]
        ctx.gradients = [gradient for pair in zip(dxs, dws, strict=True) for gradient in pair]
        return total / divisor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        gradients, ctx.gradients = ctx.gradients, None
        return (None, None, None, None, None, None, *(g if g is None else g.mul_(upstream) for g in gradients))


def _logits_into(logits: Tensor, xs: list[Tensor], ws: list[Tensor], vocabulary: int) -> None:
    """Fill `logits` (R, P); columns that stand for no token get -inf."""
    torch.mm(xs[0], ws[0].T, out=logits[:, : len(ws[0])])  # (R, K) @ (K, V) -> (R, V)
    for x, w in zip(xs[1:], ws[1:], strict=True):
        logits[:, : len(w)].addmm_(x, w.T)
    logits[:, vocabulary:] = -torch.inf


def _add_product(total: Tensor, a: Tensor, b: Tensor, alpha: float) -> None:
    """total += alpha a @ b; a weight's gradient stays in the weight's dtype while the products may be in bf16.

    Then the product goes over in slabs. PyTorch's CPU code would convert what it adds within the addition, where no
    ledger sees the copy, so it is converted here.
    """
    if total.dtype == a.dtype:
        total.addmm_(a, b, alpha=alpha)
    else:
        for part, rows in zip(total.split(SLAB_ROWS), a.split(SLAB_ROWS), strict=True):
            part.add_((rows @ b).to(part.dtype), alpha=alpha)


def _loss_and_gradient_(
    logits: Tensor,
    vocabulary: int,
    targets: Tensor,
    factor: Tensor | None,
    softcap: float | None,
    ledger: StepLedger,
) -> Tensor:
    """The summed cross-entropy of `logits` (R, P) for `targets` (R, 1); the logits become its gradient.

    The gradient by the logits is softmax minus one-hot, multiplied by `factor` if there is one. That by the products
    under a soft cap is this times the cap's slope.
    """
    p = _capped_(_at_least_fp32(logits), vocabulary, softcap)
    ledger.tag("logits", [p])
    at_target = p.gather(1, targets)  # (R, 1)
    normaliser = _softmax_(p)  # (R,)
    hot = at_target.new_full((), -1).expand(targets.shape)  # (R, 1)
    if softcap is not None:
        _multiply_by_slope_(p, normaliser, softcap)
        hot = (at_target / softcap).square() - 1
    p.scatter_add_(1, targets, hot)
    if factor is not None:
        p.mul_(factor)
    if p is not logits:
        logits.copy_(p)
    return (normaliser - at_target[:, 0]).sum()


def _at_least_fp32(logits: Tensor) -> Tensor:
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


def _softmax_(z: Tensor) -> Tensor:
    """The logsumexp (R,) of each row of logits z (R, P), which become their softmax.

    With p = softmax(z), any column j has logsumexp(z) = z_j - log p_j. It is taken where z is largest: there p is at
    least 1 / P, so a loss is exact however small the target's own p. Unlike `torch.logsumexp` this takes no memory
    beside z.
    """
    largest = z.amax(1)  # (R,)
    torch.softmax(z, 1, out=z)  # (R, P)
    return largest - z.amax(1).log()


def _capped_(z: Tensor, vocabulary: int, softcap: float | None) -> Tensor:
    """Products z (R, P) as logits, in place; columns that stand for no token stay as they are."""
    if softcap is not None:
        z[:, :vocabulary].div_(softcap).tanh_().mul_(softcap)
    return z


def _multiply_by_slope_(p: Tensor, normaliser: Tensor, softcap: float) -> None:
    """Multiply p (R, P), the softmax of capped logits y, by the slope of c tanh(z / c), which is 1 - (y / c)^2.

    Logits are taken back from y = log p + logsumexp(y) (R,), some rows at a time, and need no memory of their own.
    Where p is 0, so is the result.
    """
    rows = max(1, SLAB_LOGITS // p.shape[1])
    for of_p, of_normaliser in zip(p.split(rows), normaliser.split(rows), strict=True):
        y = of_p.log().add_(of_normaliser[:, None]).clamp_(-softcap, softcap)
        of_p.mul_(y.div_(softcap).square_().neg_().add_(1))
