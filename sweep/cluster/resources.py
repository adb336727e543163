"""Checks that this machine has the CPUs and GPUs that each trial asks for, and can use them. Needs no torch."""

import os
from collections.abc import Callable, Iterable

from basis.errors import UserError, shortened
from basis.fields import PrecisionChoice
from sweep.machine.ask_gpus import may_have_gpu
from sweep.machine.gpu_facts import CPU_PRECISIONS, GpuFacts, MachineGpus, lacking
from sweep.machine.hardware import allowed_cpus
from sweep.schema.resources import MOST_AUTO_CPUS, Resources

VISIBLE = "CUDA_VISIBLE_DEVICES"
LONGEST_WORDS = 150
"""Most letters of torch's or Ray's own words in a message."""


def check_cpus(wanted: Resources) -> None:
    """Refuse more CPUs for a trial than this process may use. A Ray of our own gets exactly those.

    Raises:
        UserError: naming what would be accepted.
    """
    cpus, there = wanted.cpu, allowed_cpus()
    if cpus != "auto" and cpus > there:
        raise UserError(
            f"resources.cpu: {cpus:g} is more than the {there} CPUs that may be used here; accepted: at most "
            f"{there}, or auto, which takes up to {MOST_AUTO_CPUS} of them (to go on with a sweep: edit its spec.yaml)"
        )


def look_for_gpus(wanted: Resources) -> None:
    """Refuse a number of GPUs if the system knows of none. If it knows of some, torch counts them later.

    Raises:
        UserError: naming what would be accepted.
    """
    if not may_have_gpu():
        check_gpus(wanted.least_gpu, 0)


def usable_gpus(seen: MachineGpus, wanted: Resources, say: Callable[[str], None]) -> tuple[GpuFacts, ...]:
    """The GPUs of this machine, all of which trials can use.

    Args:
        seen: what torch says of them.
        wanted: what a trial asks for.
        say: told why trials run on CPU beside a GPU.

    Raises:
        UserError: there are too few, or torch can't use one of them.
    """
    if flaw := flaw_of(seen):
        raise UserError(f"resources.gpu: {flaw}, or resources.gpu: 0, which runs on CPU")
    if without_cuda(seen):
        built = f"torch {seen.torch} is built without CUDA and can't use a GPU of this machine"
        if wanted.least_gpu:
            raise UserError(f"resources.gpu: {built}; accepted: a CUDA build of torch, auto or 0")
        say(f"{built}: trials run on CPU")
    check_gpus(wanted.least_gpu, len(seen.gpus))
    if seen.torch and not seen.gpus and (chosen := os.environ.get(VISIBLE)) is not None:
        say(f"{VISIBLE}={chosen} leaves no GPU of this machine to see: trials run on CPU")
    return seen.gpus


def flaw_of(seen: MachineGpus) -> str | None:
    """Why torch can't use a GPU of a machine, and what would be accepted; None if it can use all there are."""
    if seen.failure:
        said = shortened(seen.failure.split(". ")[0].rstrip("."), LONGEST_WORDS)
        return f"CUDA does not start ({said}); accepted: a driver that torch {seen.torch} can use"
    if seen.unusable:
        which = shortened(seen.unusable, LONGEST_WORDS)
        return f"CUDA does not start on {which}; accepted: CUDA_VISIBLE_DEVICES without it"
    if strange := [gpu for gpu in seen.gpus if not gpu.supported]:
        name, known = _with_capability(strange[0]), ", ".join(seen.architectures)
        hidden = ", CUDA_VISIBLE_DEVICES without it" if len(strange) < len(seen.gpus) else ""
        return f"torch {seen.torch} has no code for {name}, only for {known}; accepted: a build of torch for it{hidden}"
    return None


def without_cuda(seen: MachineGpus) -> bool:
    """Whether torch was asked, and is a build that uses no GPU."""
    return bool(seen.torch) and not seen.architectures


def check_precisions(wanted: Iterable[PrecisionChoice], gpus: Iterable[GpuFacts]) -> None:
    """Refuse a precision that some GPU computes no products in.

    Args:
        wanted: those of a sweep's trials.
        gpus: each kind that a trial may get.

    Raises:
        UserError: naming the precision, the GPU and what would be accepted there.
    """
    for precision in dict.fromkeys(wanted):
        for gpu in gpus:
            if flaw := lacking(precision, gpu.name, gpu.precisions):
                raise UserError(flaw)


def check_precisions_of_cpus(wanted: Iterable[PrecisionChoice]) -> None:
    """Refuse a precision that no CPU computes in.

    Raises:
        UserError: naming the precision and what would be accepted.
    """
    for precision in wanted:
        if flaw := lacking(precision, "a CPU", CPU_PRECISIONS):
            raise UserError(flaw)


def _with_capability(gpu: GpuFacts) -> str:
    return f"{gpu.name} (sm_{gpu.capability[0]}{gpu.capability[1]})"


def check_gpus(least: float, there: int) -> None:
    """Refuse more GPUs for a trial than this machine has.

    Args:
        least: how much of a GPU a trial can't do without.
        there: how many this machine has.

    Raises:
        UserError: naming what would be accepted.
    """
    if least > there:
        raise UserError(
            f"resources.gpu: {least:g} is more than the {there} GPUs of this machine; accepted: {there}, or auto, "
            "which takes a GPU where there is one"
        )
