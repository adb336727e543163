"""sweep.json: what a reader of the report must know beside the numbers, namely versions, hardware and data."""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from sweep.errors import UserError, first_line
from sweep.files import write_text
from sweep.hardware import allowed_cpus, cpu_name
from sweep.names import SWEEP_FILE
from sweep.spec import SweepSpec
from sweep.tokens import TokenSet

PACKAGES = ("torch", "transformers", "ray", "loralib", "datasets", "optuna", "tokenizers", "numpy", "pandas")


@cache
def versions() -> Mapping[str, str]:
    """Versions of Python and of the packages that results depend on, in this process."""
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
    """The machine that the driver runs on; each trial's rows name the device that it ran on."""
    return {
        "cpu": cpu_name(),
        "cpus": allowed_cpus(),
        "gpus": torch.cuda.device_count(),  # counted without opening a CUDA context, which the driver has no use for
        "machine": platform.machine(),
        "system": platform.system(),
    }


def check_identity(experiment_dir: Path, identity: dict[str, str]) -> None:
    """Refuse to continue a sweep whose data, base model or reward have changed since it began.

    Raises:
        UserError: naming what changed.
    """
    before = read_sweep(experiment_dir)["identity"] if (experiment_dir / SWEEP_FILE).exists() else identity
    changed = [name for name, value in identity.items() if before.get(name) != value]
    if changed:
        raise UserError(
            f"{experiment_dir}: changed since the sweep began: {', '.join(changed)}. Its finished and its new trials "
            "could not be compared; restore what changed, or begin a new sweep with --output"
        )


def write_record(experiment_dir: Path, name: str, command: str, tokens: TokenSet, identity: dict[str, str]) -> None:
    """Write sweep.json at the start of a sweep; a sweep that is continued keeps its own and notes when and by what."""
    if (experiment_dir / SWEEP_FILE).exists():
        record = read_sweep(experiment_dir)
        used = ", ".join(f"{package} {found}" for package, found in versions().items())
        _write(experiment_dir, {**record, "continued": [*record.get("continued", []), f"{_now()} with {used}"]})
        return
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
            "identity": identity,
        },
    )


def finish_record(experiment_dir: Path) -> None:
    """Note in sweep.json when the sweep ended."""
    _write(experiment_dir, {**read_sweep(experiment_dir), "finished_at": _now()})


def read_sweep(experiment_dir: Path) -> dict[str, Any]:
    """What sweep.json has.

    Raises:
        UserError: it is not there, not whole, or has no identity.
    """
    path = experiment_dir / SWEEP_FILE
    try:
        sweep: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {**sweep, "identity": dict(sweep["identity"])}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: is not as a sweep leaves it ({first_line(error)})") from None


def spec_text(spec: SweepSpec) -> str:
    """The resolved spec as spec.yaml has it."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _write(experiment_dir: Path, record: dict[str, Any]) -> None:
    write_text(experiment_dir / SWEEP_FILE, json.dumps(record, indent=2))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
