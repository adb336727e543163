"""Writes and reads sweep.json, the sweep's record: versions, hardware, data, identity, and when it ran."""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from basis.directory import FINISHED_FILE, RECORD_FILE, SPEC_FILE, SWEEP_FILE
from basis.errors import UserError
from basis.files import write_text
from basis.read_json import DamagedError, read_object
from basis.scripts import as_called
from basis.stages import Stage
from basis.versions import installed_versions
from sweep.data.tokens import FORMAT_VERSION
from sweep.machine.hardware import allowed_cpus, cpu_name
from sweep.schema.sweep_spec import SweepSpec

FORMAT = "format"
"""Key of sweep.json: the version of the data's preparation, see `tokens.FORMAT_VERSION`."""

LIBRARIES = (
    *("torch", "transformers", "ray", "loralib", "peft", "pytorch-optimizer", "bitsandbytes"),
    *("datasets", "optuna", "tokenizers", "numpy", "pandas"),
)


@cache
def versions() -> Mapping[str, str]:
    """The versions of Python, of LIBRARIES and, in a CUDA build of torch, of CUDA, by name."""
    by_name = {"python": platform.python_version(), **installed_versions(LIBRARIES)}
    if torch.version.cuda:
        by_name["cuda"] = torch.version.cuda
    return by_name


def hardware() -> dict[str, Any]:
    """The driver's machine, as sweep.json has it. (Each trial's rows name the trial's own device.)"""
    return {
        "cpu": cpu_name(),
        "cpus": allowed_cpus(),
        "gpus": torch.cuda.device_count(),  # opens no CUDA context, which would take memory on a GPU
        "machine": platform.machine(),
        "system": platform.system(),
    }


def part_of_model(part: str, model: str | None) -> str:
    """What sweep.json calls a part of the trials of one base model: of several, by the model's label as well."""
    return part if model is None else f"{part} of {model}"


def check_identity(experiment_dir: Path, identity: dict[str, str]) -> None:
    """Refuse to continue a sweep whose data, base model or reward have changed since it began.

    Args:
        experiment_dir: the experiment directory, with a sweep.json.
        identity: what identifies the inputs now, by the names that sweep.json has under "identity".

    Raises:
        UserError: naming what changed.
    """
    try:
        sweep = parse_sweep_record(experiment_dir / SWEEP_FILE)
    except DamagedError:  # told elsewhere; the trials' records say the same, see `check_trial_hashes`
        return
    changed = [name for name, value in identity.items() if sweep["identity"].get(name) != value]
    if any(part.split(" of ")[0] == "data" for part in changed) and sweep.get(FORMAT) != FORMAT_VERSION:
        raise UserError(
            f"{experiment_dir}: was begun by an earlier version, which prepared data in another way (format "
            f"{sweep.get(FORMAT, 2)}, here {FORMAT_VERSION}); continue it with that version, or begin a new sweep with "
            "--output"
        )
    _refuse_changed(experiment_dir, changed)


def check_trial_hashes(experiment_dir: Path, hashes_by_model: Mapping[str | None, Mapping[str, str]]) -> None:
    """Refuse as `check_identity` does, by the records of finished trials, since sweep.json may be lost.

    The reward model and prompts in a tuning trial's record are not compared: no judge has seen that trial.

    Args:
        experiment_dir: the experiment directory.
        hashes_by_model: the hashes of the inputs now, see `hashes.input_hashes`, by what trials say of their base
            model.

    Raises:
        UserError: naming what changed.
    """
    changed: dict[str, None] = {}
    for path in sorted(experiment_dir.glob(f"*/{FINISHED_FILE}")):
        try:
            record = read_object(path.with_name(RECORD_FILE))
            tuning = record["config"]["evaluate_on"] == Stage.TUNING
            before = dict(record["hashes"])
            hashes = hashes_by_model.get(record["config"].get("model"), {})
        except (DamagedError, LookupError, TypeError, ValueError, AttributeError):
            continue
        of_judging = ("prompts", "reward_model")
        names = [name for name in hashes if name in before and not (tuning and name in of_judging)]
        changed |= dict.fromkeys(name.replace("_", " ") for name in names if before[name] != hashes[name])
    _refuse_changed(experiment_dir, list(changed))


def _refuse_changed(experiment_dir: Path, changed: list[str]) -> None:
    if changed:
        raise UserError(
            f"{experiment_dir}: changed since the sweep began: {', '.join(changed)}. Its finished and its new trials "
            "could not be compared; restore what changed, or begin a new sweep with --output"
        )


def begin_sweep_record(
    experiment_dir: Path, spec: SweepSpec, command: str, statistics: Mapping[str, Any], identity: dict[str, str]
) -> None:
    """Write spec.yaml and sweep.json at the start of a sweep.

    A sweep that is continued keeps its sweep.json and notes in it when it was continued and by which versions.

    Args:
        experiment_dir: where to.
        spec: the sweep, resolved.
        command: the command line that began it, without secrets.
        statistics: of the data, see `PreparedSweep.statistics`.
        identity: what must stay the same, see `check_identity`.
    """
    if (experiment_dir / SWEEP_FILE).exists():
        record = _continued(read_sweep_record(experiment_dir))
    else:
        begun = any(experiment_dir.glob(f"*/{FINISHED_FILE}"))  # and sweep.json is lost
        record = {
            "name": spec.name,
            "command": command,
            "started_at": None if begun else _now(),
            "finished_at": None,
            "versions": versions(),
            "hardware": hardware(),
            "data": dict(statistics),
            FORMAT: FORMAT_VERSION,
            "identity": identity,
        }
    write_text(experiment_dir / SPEC_FILE, spec_text(spec))
    write_text(experiment_dir / SWEEP_FILE, json.dumps(record, indent=2))


def _continued(record: dict[str, Any]) -> dict[str, Any]:
    """The record of a sweep with a note that it is continued."""
    used = ", ".join(f"{package} {found}" for package, found in versions().items())
    return {**record, "continued": [*record.get("continued", []), f"{_now()} with {used}"]}


def end_sweep_record(experiment_dir: Path) -> None:
    """Note in sweep.json when the sweep ended."""
    record = {**read_sweep_record(experiment_dir), "finished_at": _now()}
    write_text(experiment_dir / SWEEP_FILE, json.dumps(record, indent=2))


def read_sweep_record(experiment_dir: Path) -> dict[str, Any]:
    """Read sweep.json for a user, who is told how to mend a damaged one.

    Raises:
        UserError: it is missing, not whole, or has no identity.
    """
    path = experiment_dir / SWEEP_FILE
    try:
        return parse_sweep_record(path)
    except DamagedError as damage:
        mend = as_called("sweep.run", "--resume", str(experiment_dir))
        raise UserError(f"{path}: is not as a sweep leaves it: it {damage}; mend it with: {mend}") from None


def parse_sweep_record(path: Path) -> dict[str, Any]:
    """Read a sweep.json.

    Raises:
        DamagedError: it is missing, not whole, or has no identity.
        OSError: it can't be read.
    """
    sweep = read_object(path)
    if not isinstance(sweep.get("identity"), dict) or not isinstance(sweep.get("continued", []), list):
        raise DamagedError("lacks what a sweep leaves in it ('identity')")
    return sweep


def spec_text(spec: SweepSpec) -> str:
    """The resolved spec as YAML, for spec.yaml."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _now() -> str:
    """The time in UTC, to the second, such as 2026-01-31T12:00:00+00:00."""
    return datetime.now(UTC).isoformat(timespec="seconds")
