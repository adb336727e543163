"""finished.json: all that a finished trial reported, and what it takes to notice that a file of it is damaged.

config    the TrialConfig
rows      every row of metrics, in order
kept      the seal (see `basis.checksums`) of each file that the trial has kept, by name
copies    the text of small files that nothing could make again but training; a damaged one is restored from here

Trials that finished before there were seals have neither of the last two, and are read as they always were.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from basis.checksums import Seal, seal
from basis.directory import FINISHED_FILE, RECORD_FILE, RESPONSES_FILE, SUGGESTED_FILE, TRAINED_FILE, WINDOW_LOSSES_FILE
from basis.files import write_text
from basis.metrics import NOT_JUDGED, Row, with_present_names
from basis.read_json import DamagedError, read_object
from sweep.trial.config import TrialConfig

COPIED = (RECORD_FILE, WINDOW_LOSSES_FILE, SUGGESTED_FILE)
SEALED = (TRAINED_FILE, RESPONSES_FILE, *COPIED)


@dataclass(frozen=True)
class Finished:
    """The content of a finished.json."""

    config: TrialConfig
    rows: list[Row]
    kept: dict[str, Seal]
    copies: dict[str, str]


def read_finished(path: Path) -> Finished:
    """Read a finished.json.

    Raises:
        DamagedError: it is not as `write_finished` leaves it, or is another trial's.
        OSError: it is there and can't be read.
    """
    content = read_object(path)
    try:
        config = TrialConfig.model_validate(content["config"])
        rows, kept, copies = content["rows"], content.get("kept", {}), content.get("copies", {})
        whole = (
            isinstance(rows, list)
            and bool(rows)
            and all(isinstance(row, dict) and isinstance(row.get("step"), int) for row in rows)
            and bool(rows[-1].get("finished"))
            and all(isinstance(value, dict) for value in (kept, copies, *kept.values()))
            and all(isinstance(text, str) for text in copies.values())
        )
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise DamagedError(f"is not what a trial leaves ({type(error).__name__})") from None
    if not whole:
        raise DamagedError("is not what a trial leaves (its rows are not whole)")
    if config.name != path.parent.name:
        raise DamagedError(f"is of another trial ({config.name})")
    return Finished(config, list(map(with_present_names, rows)), kept, copies)


def finished_text(
    config: TrialConfig, rows: Sequence[Row], files: Mapping[str, Path], known: Mapping[str, Seal]
) -> str:
    """The text of a finished.json.

    Args:
        config: the trial.
        rows: all of them.
        files: where the trial's files are, by name; such as are not there are left out.
        known: seals of files that need not be read for them.
    """
    there = {name: path for name, path in files.items() if name in SEALED and path.is_file()}
    if NOT_JUDGED in rows[-1]:
        there.pop(RESPONSES_FILE, None)  # about to be replaced
    whole = {
        "config": config.model_dump(mode="json"),
        "rows": list(rows),
        "kept": {name: known.get(name) or seal(path) for name, path in there.items()},
        "copies": {name: path.read_text(encoding="utf-8") for name, path in there.items() if name in COPIED},
    }
    return json.dumps(whole)


def write_finished(folder: Path, config: TrialConfig, rows: Sequence[Row], known: Mapping[str, Seal]) -> None:
    """Write the finished.json of the trial in `folder`, beside the files that it seals; see `finished_text`."""
    files = {name: folder / name for name in SEALED}
    write_text(folder / FINISHED_FILE, finished_text(config, rows, files, known))
