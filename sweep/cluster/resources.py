"""Checks that this machine has the CPUs and GPUs that each trial asks for. Needs no torch."""

import os
from pathlib import Path

from basis.errors import UserError
from sweep.machine.hardware import allowed_cpus
from sweep.schema.resources import MOST_AUTO_CPUS, Resources

GPU_FOLDERS = (Path("/proc/driver/nvidia/gpus"), Path("/sys/class/kfd"), Path("/dev/dxg"), Path("/sys/module/nvidia"))
"""Folders that Linux has if there is a GPU that torch can use."""


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
    """Refuse a number of GPUs if Linux knows of none. If it knows of some, torch counts them later.

    Raises:
        UserError: naming what would be accepted.
    """
    if os.path.isdir("/proc") and not any(map(os.path.exists, GPU_FOLDERS)):
        check_gpus(wanted.least_gpu, 0)


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
