"""The trials of an experiment: Ray Tune's own list of them, read as plain JSON, and those that have begun since.

What JSON can't express Ray pickles into that file, and unpickling runs whatever code somebody has put there. Nothing
that a report needs is ever pickled by Ray, so pickles are passed over here, and refused where a plain value belongs.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basis.directory import FINISHED_FILE, PARAMS_FILE, RESULT_FILE
from basis.errors import UserError

STATE_FILES = "experiment_state-*.json"
"""One for each time that the sweep was started or continued; names sort by time."""

LONGEST_FILE_NAME_BYTES = 255
"""Bytes of a file's name."""

PICKLED = "CLOUDPICKLE_FALLBACK"
"""The `_type` of a mapping that stands for a pickled value."""


@dataclass(frozen=True)
class RecordedTrial:
    """A trial as Ray has it on record.

    Attributes:
        trial_id: Ray's name for it.
        folder: name of its directory within the experiment's.
        begun: whether it has been given that directory.
        status: PENDING, RUNNING, PAUSED, TERMINATED or ERROR.
        config: what it was started with; empty where Ray has lost it or has no record.
        error_file: name of the file in its directory with the text of its last failure; None if there was none.
    """

    trial_id: str
    folder: str
    begun: bool
    status: str
    config: dict[str, Any]
    error_file: str | None


def read_trials(directory: Path) -> list[RecordedTrial]:
    """The trials on record. Ray begins a new state each time that a sweep goes on: the newest word on a trial counts.

    Ray writes its list now and then (see `sweep.tune.tuning`), so that of a
    process that was killed it lacks the youngest trials. Their directories stand for them.

    Args:
        directory: the experiment directory.

    Returns:
        One of each trial's directory.

    Raises:
        UserError: no state is whole, or one has a pickle or something else in place of a plain value.
    """
    trials: dict[str, RecordedTrial] = {}
    broken, whole = "", False
    for path in sorted(directory.glob(STATE_FILES), reverse=True):
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))["trial_data"]
            read = [_recorded(json.loads(trial), json.loads(run), path) for trial, run in listed]
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            broken = broken or f"{path} is not as Ray Tune leaves it ({type(error).__name__})"
            continue
        whole = True
        for trial in sorted(
            read, key=lambda trial: not trial.begun
        ):  # one that waits may be a begun one's config once more
            trials.setdefault(trial.folder, trial)
    if broken and not whole:
        raise UserError(f"{broken}; no other {STATE_FILES} is whole")
    return [*trials.values(), *_younger(directory, trials)]


def _younger(directory: Path, listed: Collection[str]) -> list[RecordedTrial]:
    """Trials that have a directory with a config and reports, and are not in these ones' list of directories."""
    folders = sorted(path.parent for path in directory.glob(f"*/{PARAMS_FILE}"))
    return [
        RecordedTrial(folder.name, folder.name, begun=True, status="RUNNING", config={}, error_file=None)
        for folder in folders
        if folder.name not in listed
        and _is_name(folder.name)
        and any((folder / name).is_file() for name in (RESULT_FILE, FINISHED_FILE))
    ]


def _recorded(trial: object, run: object, path: Path) -> RecordedTrial:
    state, metadata = (_mapping(value, "a trial", path) for value in (trial, run))
    given = _text(state, "relative_logdir", path)
    folder = given or _text(state, "custom_dirname", path)
    trial_id, status = _text(state, "trial_id", path), _text(state, "status", path)
    if not (trial_id and status):
        raise UserError(f"{path}: a trial lacks its trial_id or status")
    error_file = _text(metadata, "error_filename", path)
    for name in (folder or trial_id, error_file or "error.txt"):
        if not _is_name(name):
            raise UserError(f"{path}: {name!r:.80} is no name within the experiment's directory")
    config = state.get("config")
    config = {} if config is None else _mapping(config, "config", path)
    pickled = [name for name, value in config.items() if _is_pickled(value)]
    if pickled:
        raise UserError(f"{path}: {pickled[0]!r:.80} of a config is a pickle, which would run code; it is not read")
    return RecordedTrial(trial_id, folder or trial_id, given is not None, status, dict(config), error_file)


def _mapping(value: object, name: str, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, dict) or _is_pickled(value):
        raise UserError(f"{path}: {name} is {_instead(value)}; accepted: a plain mapping")
    return value


def _text(state: Mapping[str, Any], name: str, path: Path) -> str | None:
    value = state.get(name)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{path}: {name} is {_instead(value)}; accepted: plain text")
    return value


def _instead(value: object) -> str:
    return "a pickle, which would run code" if _is_pickled(value) else f"a {type(value).__name__}"


def _is_name(text: str) -> bool:
    """Whether a text can be the name of a file, which does not lead elsewhere."""
    length = len(text.encode("utf-8", "surrogatepass"))
    return text not in (".", "..") and not re.search(r"[/\0\ud800-\udfff]", text) and length <= LONGEST_FILE_NAME_BYTES


def _is_pickled(value: object) -> bool:
    return isinstance(value, dict) and value.get("_type") == PICKLED
