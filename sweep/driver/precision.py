"""Settles `precision: auto` for a sweep, by what its trials will train on. Needs torch where that is a CPU."""

from collections.abc import Sequence

from basis.errors import UserError
from basis.fields import Precision
from sweep.hub.fetch import Say
from sweep.machine.gpu_facts import GpuFacts
from sweep.memory.device import Device
from sweep.schema.resources import Resources
from sweep.search_space import SweepPlan, plan_sweep
from sweep.space.precision import asks_for_auto, best_precision, settle_precision

ASSUMED: tuple[Precision, ...] = ("fp32", "tf32", "bf16", "fp16")
"""What a dry run takes a GPU to have that is not here: that of GPUs since Ampere."""


def settled_plan(plan: SweepPlan, address: str | None, gpus: Sequence[GpuFacts], say: Say) -> SweepPlan:
    """The plan of a sweep that is to run, with a precision in place of each `auto`.

    Args:
        plan: the sweep and its trials.
        address: of the cluster that it runs on; None: this machine.
        gpus: each kind of GPU that a trial may get, as far as it could be asked.
        say: told what `auto` stands for.

    Raises:
        UserError: trials run on GPUs of which none could be asked.
    """
    if not asks_for_auto(plan.spec):
        return plan
    if address is not None and plan.spec.resources.gpu and not gpus:
        raise UserError(
            "precision: auto can't be settled, since no GPU of the cluster could be asked; accepted: bf16, fp32, tf32 "
            "or fp16, such as --set trial.precision=bf16"
        )
    return _settled(plan, _native(plan.spec.resources, address, gpus), say, _reason(gpus))


def planned_precision(plan: SweepPlan, gpus: Sequence[GpuFacts], say: Say) -> SweepPlan:
    """The same for a dry run, which plans for a GPU that need not be here."""
    if plan.spec.resources.gpu and not gpus:
        return _settled(plan, ASSUMED, say, ", assumed: no GPU could be asked here, and those since Ampere have it")
    return _settled(plan, _native(plan.spec.resources, None, gpus), say, _reason(gpus))


def _reason(gpus: Sequence[GpuFacts]) -> str:
    """Which GPU keeps a sweep from bf16, and what it has; empty if none does."""
    for gpu in gpus:
        if "bf16" not in gpu.precisions:
            half = ", but fp16" if "fp16" in gpu.precisions else ""
            return f", since {gpu.name} has no bf16{half}"
    return ""


def _native(resources: Resources, address: str | None, gpus: Sequence[GpuFacts]) -> tuple[Precision, ...]:
    if resources.gpu and gpus:
        return Device("cuda", gpus=tuple(gpus)).native_precisions
    return ("fp32",) if address is not None else Device("cpu").native_precisions  # a cluster's CPUs may differ


def _settled(plan: SweepPlan, native: Sequence[Precision], say: Say, why: str = "") -> SweepPlan:
    if not asks_for_auto(plan.spec):
        return plan
    say(f"precision auto: {best_precision(native)}{why}")
    settled = plan_sweep(settle_precision(plan.spec, native))
    if len(settled.candidates) < len(plan.candidates):
        fewer = f"{len(plan.candidates)} trials are {len(settled.candidates)}"
        say(f"{fewer}: what auto stands for is tried beside it, and no trial runs twice")
    return settled
