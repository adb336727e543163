"""Describes the machine, the versions and the commit that a result was measured with."""

import os
import platform
import subprocess
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from sweep.machine.hardware import cpu_name

PACKAGES = ("torch", "transformers", "peft", "trl", "loralib", "datasets", "ray")


def describe_machine() -> dict[str, str | int]:
    """Date, processor, GPU, cores that this process may use, versions and commit; what is absent is left out."""
    facts: dict[str, str | int] = {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "CPU": cpu_name(),
        **({"GPU": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**facts, "commit": _commit()}


def _commit() -> str:
    """The commit of this checkout, with a remark if tracked files differ from it; "unknown" outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        return f"{commit} with local changes" if _git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
