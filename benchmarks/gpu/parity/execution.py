"""The same losses however a step is executed: again, divided, checkpointed, resumed, and by every optimizer."""

import io
from collections.abc import Iterator
from dataclasses import replace

import torch

from basis.fields import Optimizer, Precision
from basis.optimizers import OWN
from benchmarks.gpu.parity.references import (
    TINY,
    Check,
    Small,
    exact_losses,
    largest_relative_error,
    method_name,
    new_run,
    optimizers_under,
)
from model.batch import Batch
from model.sft import SFTRun

SHAPE = Small(batch=6, block=96)
STEPS = 4
ROUNDING = "rounding differs by how products are divided, and four steps carry it on"

QUICK_OPTIMIZERS: tuple[Optimizer, ...] = ("adamw", "muon")


def divided_and_checkpointed_steps(device: torch.device, precision: Precision, quick: bool) -> Iterator[Check]:
    """Four steps of AdamW again, in passes of two windows, in unequal passes, and checkpointed; with dropout, too."""
    for dropout in (0.0, 0.1):
        shape = replace(TINY if quick else SHAPE, batch=6, dropout=dropout)
        for rank in (None, 3):
            what = f"{precision}, {method_name(rank)}" + f", dropout {dropout}" * (dropout > 0)
            plain = losses(new_run(shape.model(rank), "adamw", device, precision), shape)
            again = losses(new_run(shape.model(rank), "adamw", device, precision), shape)
            twos = losses(new_run(shape.model(rank), "adamw", device, precision, micro_batch=2), shape)
            unequal = losses(new_run(shape.model(rank), "adamw", device, precision, micro_batch=4), shape)
            checkpointed = losses(new_run(shape.model(rank), "adamw", device, precision, checkpointing=True), shape)
            tolerance = {"fp32": 1e-4, "tf32": 1e-3}.get(precision, 3e-3)
            for how, other in (
                ("in passes of 2", twos),
                ("in passes of 4 and 2", unequal),
                ("checkpointed", checkpointed),
            ):
                error = largest_relative_error(other, plain)
                yield Check(f"a step {how}, {what}", error, tolerance, ROUNDING)
            yield repeated(f"a step again, {what}", again, plain, device)


def resumed_runs(device: torch.device, precision: Precision, quick: bool) -> Iterator[Check]:
    """A run with dropout and clipping that goes on from its checkpoint, against the run that was not stopped."""
    shape = replace(TINY if quick else SHAPE, batch=4, dropout=0.1)
    for optimizer in QUICK_OPTIMIZERS if quick else optimizers_under(precision):
        for rank in (None, 2):
            unbroken = new_run(shape.model(rank), optimizer, device, precision, micro_batch=2, clip_norm=1.0)
            losses(unbroken, shape)
            file = io.BytesIO()
            torch.save(unbroken.state_dict(), file)
            file.seek(0)
            torch.manual_seed(99)  # what a resumed run draws must not depend on it
            resumed = new_run(shape.model(rank), optimizer, device, precision, micro_batch=2, clip_norm=1.0)
            resumed.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
            what = f"resumed, {precision}, {method_name(rank)}, {optimizer}"
            yield repeated(what, losses(resumed, shape), losses(unbroken, shape), device)


def repeated(name: str, losses: list[float], before: list[float], device: torch.device) -> Check:
    """The same steps once more: to the bit on a CPU, and on a GPU as far as it repeats itself."""
    if device.type == "cpu":
        return Check(name, largest_relative_error(losses, before), 0.0, "a CPU repeats itself to the bit")
    reason = "the gradient of an embedding is added up in any order on a GPU"
    return Check(name, largest_relative_error(losses, before), 2e-4, reason)


def optimizers(device: torch.device, quick: bool) -> Iterator[Check]:
    """Four steps of every optimizer in fp32 against the same steps in fp64 on the CPU."""
    shape = replace(TINY if quick else SHAPE, batch=4)
    for optimizer in OWN:
        ours = losses(new_run(shape.model(None), optimizer, device, clip_norm=1.0), shape)
        exact = exact_losses(
            shape.model(None), optimizer, [shape.windows(seed) for seed in range(STEPS)], clip_norm=1.0
        )
        muon = (1e-3, "Muon orthogonalises its updates in bf16")
        other = (1e-4, "rounding, which a division by small numbers enlarges over four steps")
        tolerance, reason = muon if optimizer == "muon" else other
        yield Check(f"{STEPS} steps of {optimizer}, fp32", largest_relative_error(ours, exact), tolerance, reason)


def losses(run: SFTRun, shape: Small) -> list[float]:
    """The losses of the run's next steps, on windows that follow from the step's number."""
    return [run.train_step(Batch(shape.windows(seed))).item() for seed in range(run.step, run.step + STEPS)]
