"""sweep.json: what a reader of the report must know beside the numbers, namely versions, hardware and data."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sweep.names import SWEEP_FILE
from sweep.tokens import TokenSet

PACKAGES = ("torch", "transformers", "ray", "loralib", "datasets", "optuna", "tokenizers", "numpy", "pandas")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    return found


def hardware() -> dict[str, Any]:
    """The machine that the driver runs on."""
    found: dict[str, Any] = {"machine": platform.machine(), "system": platform.system(), "cpus": os.cpu_count()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        found["cpu"] = names[0] if names else "unknown"
    found["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return found


def write_record(experiment_dir: Path, name: str, command: str, tokens: TokenSet, base_model: str) -> None:
    """Write sweep.json at the start of a sweep."""
    _write(
        experiment_dir,
        {
            "name": name,
            "command": command,
            "started_at": _now(),
            "finished_at": None,
            "versions": versions(),
            "hardware": hardware(),
            "data": {
                "train_tokens": tokens.train_tokens,
                "test_tokens": tokens.test_tokens,
                **tokens.statistics,
            },
            "base": {"model": base_model},
        },
    )


def finish_record(experiment_dir: Path) -> None:
    """Note in sweep.json when the sweep ended."""
    record = json.loads((experiment_dir / SWEEP_FILE).read_text(encoding="utf-8"))
    _write(experiment_dir, {**record, "finished_at": _now()})


def _write(experiment_dir: Path, record: dict[str, Any]) -> None:
    partial = experiment_dir / f"{SWEEP_FILE}.partial"
    partial.write_text(json.dumps(record, indent=2), encoding="utf-8")
    partial.replace(experiment_dir / SWEEP_FILE)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
