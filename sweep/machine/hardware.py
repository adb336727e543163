"""The processor's name and abilities, and how many CPUs and bytes of memory this process may use."""

import os
import platform
from functools import cache
from pathlib import Path

import psutil

CPUINFO = Path("/proc/cpuinfo")
ARM_NUMBERS = ("CPU implementer", "CPU variant", "CPU part", "CPU revision")
CGROUPS = Path("/sys/fs/cgroup")
OUR_CGROUPS = Path("/proc/self/cgroup")
UNLIMITED = 2**60
"""Bytes. For "no limit" version 1 of cgroups writes a number above this."""


@cache
def cpu_name() -> str:
    """The processor's name as Linux tells it; without one the architecture, for ARM with the processor's numbers."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
    told = dict(line.replace("\t", "").split(":", 1) for line in reversed(lines) if ":" in line)  # of the first core
    numbers = [told[name].strip() for name in ARM_NUMBERS if name in told]
    return told.get("model name", "").strip() or " ".join([platform.machine(), *numbers])


def cpu_has_bf16() -> bool:
    """Whether the processor has instructions for bf16. Without them torch emulates bf16, slower than fp32."""
    import torch  # here alone: the rest of this module is used without torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def allowed_cpus() -> int:
    """The number of CPUs that this process may use, at least 1: those it is bound to, within its container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([bound, *_cpu_quotas()])))


def free_memory_bytes() -> int:
    """Bytes of memory that are free on this machine, within the limits of its containers."""
    return max(0, min([int(psutil.virtual_memory().available), *_free_in_cgroups()]))


def _cpu_quotas() -> list[float]:
    """The number of CPUs that each limited cgroup around this process may use."""
    quotas = []
    for folder in _cgroup_folders("cpu"):
        quota, period = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if (folder / "cpu.max").is_file():
            words = (folder / "cpu.max").read_text(encoding="utf-8").split()
            quota, period = (int(word) if word.isdigit() else None for word in words)
        if quota and period:
            quotas.append(quota / period)
    return quotas


def _free_in_cgroups() -> list[int]:
    """Bytes that are free in each limited cgroup around this process."""
    free = []
    for folder in _cgroup_folders("memory"):
        for limit_file, used_file in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = _number(folder / limit_file), _number(folder / used_file)
            if limit is not None and used is not None and limit < UNLIMITED:
                free.append(limit - used + _file_cache_bytes(folder))
    return free


def _file_cache_bytes(folder: Path) -> int:
    """Bytes in which a cgroup caches files. The kernel frees them when memory is short."""
    stat = folder / "memory.stat"
    lines = stat.read_text(encoding="utf-8").splitlines() if stat.is_file() else []
    sizes = dict(line.split(" ", 1) for line in lines)
    return int(sizes.get("total_inactive_file", sizes.get("inactive_file", 0)))


def _cgroup_folders(controller: str) -> list[Path]:
    """The folders of this process's cgroup and of those around it, for one controller.

    Both versions of cgroups are read. A container sees its own cgroup at the top, whatever it is called outside.

    Args:
        controller: "cpu" or "memory".
    """
    lines = OUR_CGROUPS.read_text(encoding="utf-8").splitlines() if OUR_CGROUPS.is_file() else []
    folders: list[Path] = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        top = CGROUPS / controllers
        if controllers not in ("", controller):  # several share one mount, such as "cpu,cpuacct"
            if controller not in controllers.split(","):
                continue
            top = top if top.is_dir() else CGROUPS / controller
        own = top / path.strip("/")
        folders += [top, own, *(parent for parent in own.parents if parent.is_relative_to(top))]
    return list(dict.fromkeys(folders))


def _number(path: Path) -> int | None:
    """The number that a file holds; None without the file, and for "max" or -1, which mean no limit."""
    text = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    return int(text) if text.isdigit() else None
