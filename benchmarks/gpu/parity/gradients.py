"""Losses and gradients: against fp64 on the CPU, and against Hugging Face's model under autocast on the same device."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import torch
import torch.nn.functional as F

from basis.fields import Precision
from benchmarks.gpu.parity.references import (
    RANKS,
    TINY,
    Check,
    Gradients,
    Small,
    by_hugging_face,
    by_our_step,
    largest_relative_error,
    method_name,
    new_run,
    relative_error,
)
from model.batch import Batch
from model.cross_entropy import CHUNKING, chunked_cross_entropy, position_losses

SHAPES = (Small(), Small(layers=2, width=128, vocabulary=50257, batch=5, block=463))
"""The second has rows that no kernel likes: neither the tokens of a window nor the vocabulary is even."""

AUTOCAST: dict[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
TOLERANCES = {
    "fp32": (1e-4, 1e-5, "sums of 1e3 products in fp32; TF32 would be off by 3e-4 to 1e-3"),
    "tf32": (5e-3, 1e-3, "TF32 keeps 10 bits of each factor, 5e-4; the errors of layers add up"),
}
"""Of gradients and of the loss, against fp64, where autocast has no part; and why."""
CPU = torch.device("cpu")


def gradients_of_a_step(device: torch.device, precision: Precision, quick: bool) -> Iterator[Check]:
    """Loss and gradients of a step, full and LoRA at even and odd ranks, against fp64 on the CPU."""
    for shape in (TINY,) if quick else SHAPES:
        for rank in RANKS:
            model, windows = shape.model(rank), shape.windows()
            exact_loss, exact = exact_gradients(shape, rank)
            loss, gradients = by_our_step(model, windows, device, precision)
            what = f"{precision}, {method_name(rank)} ({shape})"
            loss_error, error = abs(loss / exact_loss - 1), relative_error(gradients, exact)
            if precision in AUTOCAST:
                their_loss, theirs = by_hugging_face(model, windows, device, AUTOCAST[precision])
                reason = "1.3 times the error of Hugging Face's model under autocast here, and 1e-3"
                yield Check(f"gradients, {what}", error, 1.3 * relative_error(theirs, exact) + 1e-3, reason)
                reason = "twice the error of Hugging Face's model under autocast here, and 2e-3"
                yield Check(f"loss, {what}", loss_error, 2 * abs(their_loss / exact_loss - 1) + 2e-3, reason)
            else:
                of_gradients, of_loss, reason = TOLERANCES[precision]
                yield Check(f"gradients, {what}", error, of_gradients, reason)
                yield Check(f"loss, {what}", loss_error, of_loss, reason)


def gradients_at_full_size(device: torch.device, quick: bool) -> Iterator[Check]:
    """Loss and gradients of gpt2-medium's step in fp32 against fp64 on the same device: a CPU would take minutes."""
    shape = TINY if quick else Small(layers=24, width=1024, heads=16, vocabulary=50257, batch=2, block=256)
    for rank in (1, None):
        model, windows = shape.model(rank), shape.windows()
        exact_loss, exact = by_hugging_face(model, windows, device)
        loss, gradients = by_our_step(model, windows, device, "fp32")
        what, reason = f"{method_name(rank)} ({shape}), fp64 here", "sums of 1e3 products through 24 layers in fp32"
        yield Check(f"gradients, fp32, {what}", relative_error(gradients, exact), 5e-4, reason)
        yield Check(f"loss, fp32, {what}", abs(loss / exact_loss - 1), 1e-5, reason)


def cross_entropy(device: torch.device, quick: bool) -> Iterator[Check]:
    """The loss over chunks of rows, whole and by position, against fp64 on the CPU."""
    positions = 80 if quick else 2100
    draw = torch.Generator().manual_seed(2)
    x, w = torch.randn(positions, 256, generator=draw), 0.1 * torch.randn(50257, 256, generator=draw)
    targets = torch.randint(50257, (positions,), generator=draw)
    exact = F.cross_entropy(x.double() @ w.double().T, targets, reduction="none")
    targets, terms = targets.to(device), (x.to(device), w.to(device))
    for chunking in (CHUNKING["cuda"], replace(CHUNKING["cuda"], rows=256)):
        each = position_losses(targets, terms, chunking=chunking).double().cpu()
        mean = chunked_cross_entropy(targets, terms, chunking=chunking).item()
        reason = "nats of about 12, each from 256 products in fp32"
        what = f"chunks of {chunking.rows}"
        yield Check(f"cross-entropy of a position, {what}", (each - exact).abs().max().item(), 2e-4, reason)
        yield Check(f"cross-entropy, the mean, {what}", abs(mean - exact.mean().item()), 1e-4, reason)


def evaluation(device: torch.device, precision: Precision, quick: bool) -> Iterator[Check]:
    """The loss of each test window against fp64 on the CPU."""
    shape = TINY if quick else Small(vocabulary=50257, batch=3, block=700)
    run = new_run(shape.model(None), [], device, precision, micro_batch=2)
    ours = [nats / scored for nats, scored in run.evaluate(Batch(shape.windows()))]
    low = (0.0, 5e-3, "16 bits hold 8 of a factor, 4e-3, or more; rounding cancels in the mean of a window")
    _, tolerance, reason = TOLERANCES.get(precision, low)
    yield Check(
        f"evaluation of a window, {precision}",
        largest_relative_error(ours, exact_window_losses(shape)),
        tolerance,
        reason,
    )


@cache
def exact_gradients(shape: Small, rank: int | None) -> tuple[float, Gradients]:
    """Loss and gradients in fp64 on the CPU, which every precision is held to and which take seconds."""
    return by_hugging_face(shape.model(rank), shape.windows(), CPU)


@cache
def exact_window_losses(shape: Small) -> list[float]:
    """The loss of each window in fp64 on the CPU."""
    return [by_hugging_face(shape.model(None), window[None], CPU)[0] for window in shape.windows()]
