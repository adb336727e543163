"""Writes and reads record.json, a trial's record: all that is needed to run the trial again, as plain JSON.

config, config_hash    the resolved TrialConfig, and the SHA-256 of it as JSON with sorted keys
code                   version, commit, dirty, files (their hash), see `sweep.provenance.code_version`
versions               of Python, of the libraries that results depend on, and of CUDA
hardware               device, device_type ("cpu" or "cuda"), cpu, instructions (the set that PyTorch's
                       kernels use on it), threads, machine (such as "x86_64")
hashes                 of the trial's inputs, see `sweep.provenance.hashes`; data_files by "role:name"
execution              micro_batch, activation_checkpointing: how the last steps were carried out
test_rows              which text of the test set each row scores, a SHA-256: within a sweep equal for two tokenizers
                       whose rows score the same text; missing before bytes were counted, and where nothing is tested
judged_as_trained      true if the model that was trained, adapters included, wrote the responses
                       (`sweep.worker.judging.judge` gets that very model); null while nothing has been judged
earlier                only if the trial continued under other code, versions, hardware or execution: the former
                       ones, a mapping for each time; {"lost": why} where they are unknown
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from basis.directory import RECORD_FILE
from basis.fields import identifying
from basis.files import write_text
from basis.read_json import DamagedError, read_object
from sweep.machine.hardware import cpu_name
from sweep.provenance.hashes import Provenance, hash_values
from sweep.provenance.sweep_record import versions
from sweep.trial.config import TrialConfig
from sweep.trial.metrics import device_name
from sweep.trial.model import Execution

PARTS = ("config", "config_hash", "code", "versions", "hardware", "hashes", "execution", "judged_as_trained")
"""The keys that every record has."""

_WITHIN = {
    "code": ("dirty",),
    "versions": ("python",),
    "hardware": ("device_type", "threads"),
    "hashes": ("data_files",),
    "execution": ("micro_batch", "activation_checkpointing"),
}
"""The keys within these parts that readers need."""

CIRCUMSTANCES = ("code", "versions", "hardware", "execution")
"""The parts of a record that can differ between the processes that a trial ran in."""

TrialRecord = dict[str, Any]
"""The content of a record.json."""


def make_trial_record(
    config: TrialConfig, provenance: Provenance, execution: Execution, device: torch.device, threads: int
) -> TrialRecord:
    """Make the record of a trial in this process, before it is judged.

    Args:
        config: the trial's config.
        provenance: what the results of the sweep's trials depend on.
        execution: how the trial's steps are carried out.
        device: the device that it trains on.
        threads: how many threads an operation on the CPU uses.
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
    """SHA-256 of a TrialConfig as plain values. A trial's name ends in its first six digits."""
    return hash_values(identifying(values))


def begin_trial_record(folder: Path, record: TrialRecord, goes_on: bool) -> None:
    """Write record.json when a process begins or continues a trial.

    Args:
        folder: the trial's directory.
        record: what `make_trial_record` returned.
        goes_on: whether the process continues from a checkpoint; then circumstances of former processes that differ
            are kept under "earlier".
    """
    path = folder / RECORD_FILE
    if goes_on:
        try:
            former = read_trial_record(path)
        except DamagedError as damage:
            earlier = [{"lost": f"{RECORD_FILE} {damage}"}]
        else:
            earlier = former.get("earlier", [])
            if any(former[part] != record[part] for part in CIRCUMSTANCES):
                earlier = [*earlier, {part: former[part] for part in CIRCUMSTANCES}]
        record = {**record, "earlier": earlier} if earlier else record
    write_text(path, json.dumps(record, indent=2))


def read_trial_record(path: Path) -> TrialRecord:
    """Read a record.json.

    Raises:
        DamagedError: it is missing, not whole, or lacks keys that a trial writes.
        OSError: it can't be read.
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
    """Note in record.json that the trained model has been judged. `folder` is the trial's directory."""
    path = folder / RECORD_FILE
    record = read_trial_record(path)
    write_text(path, json.dumps({**record, "judged_as_trained": True}, indent=2))
