"""record.json: what one trial was, so that it can be run again. Plain JSON, for readers that have no torch.

config, config_hash    the resolved TrialConfig, and the SHA-256 of it as JSON with sorted keys
code                   version, commit, dirty, files (their hash), see `sweep.provenance.code_version`
versions               of Python, of the packages that results depend on, and of CUDA
hardware               device, device_type ("cpu" or "cuda"), cpu, instructions (the set that PyTorch's
                       kernels use on it), threads, machine (such as "x86_64")
hashes                 of what the trial was made from, see `sweep.provenance.hashes`; data_files by "role:name"
execution              micro_batch, activation_checkpointing: how the steps were carried out at last
judged_as_trained      true: the very parameters that were trained wrote the responses, adapters included
                       (`sweep.worker.judging.judge` is handed the trained model); null while nothing has been judged
earlier                only if the trial went on under other code, versions, hardware or execution: what they were; a
                       mapping with the key "lost" where that can't be told any more
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from basis.directory import RECORD_FILE
from basis.files import write_text
from basis.read_json import DamagedError, read_object
from sweep.machine.hardware import cpu_name
from sweep.provenance.hashes import Provenance, hash_values
from sweep.provenance.sweep_record import versions
from sweep.trial.config import TrialConfig
from sweep.trial.metrics import device_name
from sweep.trial.model import Execution

PARTS = ("config", "config_hash", "code", "versions", "hardware", "hashes", "execution", "judged_as_trained")
"""What every record has."""

_WITHIN = {
    "code": ("dirty",),
    "versions": ("python",),
    "hardware": ("device_type", "threads"),
    "hashes": ("data_files",),
    "execution": ("micro_batch", "activation_checkpointing"),
}
"""What is read of the parts of a record."""

CIRCUMSTANCES = ("code", "versions", "hardware", "execution")
"""Parts of a record that can differ between the processes that a trial ran in."""

TrialRecord = dict[str, Any]


def make_record(
    config: TrialConfig, provenance: Provenance, execution: Execution, device: torch.device, threads: int
) -> TrialRecord:
    """The record of a trial in this process, before it is judged.

    Args:
        config: the trial.
        provenance: what the sweep's trials are made from.
        execution: how its steps are carried out.
        device: what it trains on.
        threads: of an operation on the CPU.
    """
    values = config.model_dump(mode="json")
    return {
        "config": values,
        "config_hash": config_hash(values),
        "code": asdict(provenance.code),
        "versions": dict(versions()),
        "hardware": {
            "device": device_name(device),
            "device_type": device.type,
            "cpu": cpu_name(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": threads,
            "machine": platform.machine(),
        },
        "hashes": {**provenance.hashes, "data_files": dict(provenance.data_files)},
        "execution": asdict(execution),
        "judged_as_trained": None,
    }


def config_hash(values: Mapping[str, Any]) -> str:
    """The hash of a TrialConfig as plain values; a trial's name ends in its first six digits."""
    return hash_values(dict(values))


def begin_record(folder: Path, record: TrialRecord, goes_on: bool) -> None:
    """Write a trial's record when a process begins it.

    Args:
        folder: the trial's directory.
        record: what `make_record` returned.
        goes_on: the process continues from a checkpoint; what was otherwise in former processes is kept.
    """
    path = folder / RECORD_FILE
    if goes_on:
        try:
            former = read_record(path)
        except DamagedError as damage:
            earlier = [{"lost": f"{RECORD_FILE} {damage}"}]
        else:
            earlier = former.get("earlier", [])
            if any(former[part] != record[part] for part in CIRCUMSTANCES):
                earlier = [*earlier, {part: former[part] for part in CIRCUMSTANCES}]
        record = {**record, "earlier": earlier} if earlier else record
    write_text(path, json.dumps(record, indent=2))


def read_record(path: Path) -> TrialRecord:
    """Read a record.json.

    Raises:
        DamagedError: it is not as a trial leaves it.
        OSError: it is there and can't be read.
    """
    record = read_object(path)
    lost = [name for name in PARTS if name not in record]
    for part, names in _WITHIN.items():
        values = record.get(part)
        lost += [f"{part}.{name}" for name in names if not isinstance(values, dict) or name not in values]
    if lost or not isinstance(record.get("earlier", []), list):
        raise DamagedError(f"is not what a trial leaves (it lacks {', '.join(lost[:4] or ['earlier'])})")
    return record


def note_judged(folder: Path) -> None:
    """Note in a trial's record that what was trained has been judged."""
    path = folder / RECORD_FILE
    record = read_record(path)
    write_text(path, json.dumps({**record, "judged_as_trained": True}, indent=2))
