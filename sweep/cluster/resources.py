"""Whether this machine has the CPUs and GPUs that each trial asks for, without torch."""

import os
from pathlib import Path

from basis.errors import UserError
from sweep.machine.hardware import allowed_cpus
from sweep.spec.resources import MOST_AUTO_CPUS
from sweep.spec.schema import SweepSpec

GPU_FOLDERS = (Path("/proc/driver/nvidia/gpus"), Path("/sys/class/kfd"), Path("/dev/dxg"), Path("/sys/module/nvidia"))
"""Where Linux tells of a GPU that torch can use."""


def check_cpus(spec: SweepSpec) -> None:
    """Refuse more CPUs for a trial than this machine lets us use, which are those that Ray is started with.

    Raises:
        UserError: naming what would be accepted.
    """
    wanted, there = spec.resources.cpu, allowed_cpus()
    if wanted != "auto" and wanted > there:
        raise UserError(
            f"resources.cpu: {wanted:g} is more than the {there} CPUs that may be used here; accepted: at most "
            f"{there}, or auto, which takes up to {MOST_AUTO_CPUS} of them (to go on with a sweep: edit its spec.yaml)"
        )


def look_for_gpus(spec: SweepSpec) -> None:
    """Refuse a number of GPUs where Linux knows of none; where it knows of some, torch counts them later.

    Raises:
        UserError: naming what would be accepted.
    """
    if os.path.isdir("/proc") and not any(map(os.path.exists, GPU_FOLDERS)):
        check_gpus(spec.resources.gpu, 0)


def check_gpus(wanted: float | str, found: int) -> None:
    """Refuse more GPUs for a trial than this machine has; `auto` does without.

    Raises:
        UserError: naming what would be accepted.
    """
    if wanted != "auto" and float(wanted) > found:
        raise UserError(
            f"resources.gpu: {float(wanted):g} is more than the {found} GPUs of this machine; accepted: "
            f"{'up to ' if found else ''}{found}, or auto, which takes a GPU where there is one"
        )
