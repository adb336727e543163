"""What the machine is called, and what it can do."""

import os
import platform
import shutil
from functools import cache
from pathlib import Path

import psutil


@cache
def cpu_name() -> str:
    """The processor's name as Linux tells it, otherwise its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def compiler_found() -> bool:
    """Whether there is what torch.compile builds its code with."""
    return any(shutil.which(compiler) for compiler in (os.environ.get("CXX", ""), "g++", "clang++"))


def cpu_has_bf16() -> bool:
    """Whether the processor has instructions for bf16; without them it is emulated, slower than fp32."""
    import torch  # here alone, since the rest of this module serves those who don't need torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def free_memory_bytes() -> int:
    """Memory that this machine, or the container that we are in, has left."""
    free = int(psutil.virtual_memory().available)
    limit, used = (Path(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit.exists() and used.exists() and (most := limit.read_text(encoding="utf-8").strip()).isdigit():
        free = min(free, int(most) - int(used.read_text(encoding="utf-8")))
    return max(0, free)
