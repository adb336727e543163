"""Files of prompts with their responses and rewards: those of each trial, and those of the base model."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from basis.checksums import Seal, flaw, seal, set_aside
from basis.files import write_text
from basis.read_json import DamagedError, parse_json, read_object, read_text

Record = dict[str, str | float | int | None]

SEAL_SUFFIX = ".seal.json"
"""How the name of the file ends that lies beside the base model's answers, with their seal (see `basis.checksums`)."""


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write JSON lines, atomically; a reward that is no finite number as null, which every reader of JSON knows."""
    known = [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in one.items()}
        for one in records
    ]
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in known))


def read_records(path: Path) -> list[Record]:
    """Read what `write_records` wrote.

    Raises:
        DamagedError: it is not as it was written.
    """
    text = read_text(path)
    if not text.endswith("\n"):
        raise DamagedError("is cut short")
    records = [parse_json(line) for line in text[:-1].split("\n")]
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict) or not {"prompt", "response", "reward"} <= record.keys():
            raise DamagedError(f"has no answer in line {number}")
    return records


def write_sealed(path: Path, records: Sequence[Record]) -> None:
    """Write records as `write_records` does, with their seal beside them."""
    sealed = path.with_suffix(SEAL_SUFFIX)
    sealed.unlink(missing_ok=True)  # between the two writes there is no seal, and not a wrong one
    write_records(path, records)
    write_text(sealed, json.dumps(seal(path)))


def records_flaw(path: Path, prompts: Sequence[str]) -> str | None:
    """In which way sealed records are not as they were written; None if they are.

    Args:
        path: their file, beside which lies its seal.
        prompts: what has been asked.
    """
    try:
        found = [str(record["prompt"]) for record in read_records(path)]
        if found != list(prompts):
            return f"answers {len(found)} prompts instead of {len(prompts)}, or others"
        sealed = path.with_suffix(SEAL_SUFFIX)
        return flaw(path, _read_seal(sealed)) if sealed.exists() else None
    except DamagedError as damage:
        return str(damage)


def set_records_aside(path: Path, prompts: Sequence[str]) -> str | None:
    """Set the base model's answers aside if they are damaged; returns a line about it. For arguments see above."""
    if not path.exists() or (found := records_flaw(path, prompts)) is None:
        return None
    return f"{path}: {found}{set_aside(path)}; the base model answers again"


def _read_seal(path: Path) -> Seal:
    try:
        return read_object(path)
    except DamagedError as damage:
        raise DamagedError(f"can't be verified, for {path.name} {damage}") from None
