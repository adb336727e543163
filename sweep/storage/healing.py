"""Sets aside what is damaged in an experiment directory, so that what runs next does that part again.

Nothing is deleted: a damaged file is renamed to NAME.damaged. A trial that must be trained again gets the same losses,
for they follow from its config; its finished.json is renamed as well, to NAME.superseded.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from basis.checksums import flaw, set_aside
from basis.directory import (
    CHECKPOINT_FILE,
    DIVERGED_FILE,
    FINISHED_FILE,
    OUT_OF_MEMORY_FILE,
    RECORD_FILE,
    RESPONSES_FILE,
    SUGGESTED_FILE,
    SWEEP_FILE,
    TRAINED_FILE,
)
from basis.files import write_text
from basis.metrics import NOT_JUDGED, REWARD_METRICS
from basis.outcome_file import forget_outcome
from basis.read_json import DamagedError, read_object, read_text
from basis.stored.index import only_stored
from sweep.memory.attempts import read_attempts
from sweep.provenance.sweep_record import parse_sweep_record
from sweep.provenance.trial_record import read_trial_record
from sweep.storage.finished import Finished, read_finished, write_finished
from sweep.storage.responses import set_answers_aside

SUPERSEDED = ".superseded"
OURS = frozenset((FINISHED_FILE, CHECKPOINT_FILE, SUGGESTED_FILE, DIVERGED_FILE, OUT_OF_MEMORY_FILE, RECORD_FILE))


def heal_experiment(experiment_dir: Path, asked: Mapping[Path, Sequence[str]]) -> list[str]:
    """Heal every trial of an experiment, and what they share; call it under a claim.

    Args:
        experiment_dir: the experiment.
        asked: by the file of each base model's answers, what it is asked; nothing where nothing judges.

    Returns:
        A line for each damaged file, with what becomes of it.

    Raises:
        OSError: a file is there and can't be read.
    """
    lost = "written anew; when the sweep began, and with which versions, can't be told any more"
    said = _heal_file(experiment_dir / SWEEP_FILE, parse_sweep_record, lost)
    for path, prompts in asked.items():
        if prompts and (line := set_answers_aside(path, prompts)):
            said.append(line)
    stored = only_stored(experiment_dir)
    with os.scandir(experiment_dir) as entries:
        folders = sorted(Path(entry.path) for entry in entries if entry.is_dir())
    for folder in folders:
        if not OURS.isdisjoint(os.listdir(folder)):
            said += heal_trial(folder, stored)
    return said


def heal_trial(folder: Path, stored: Mapping[str, int] | None = None) -> list[str]:
    """Set aside what is damaged in a trial's directory; call it under the trial's lock or the experiment's claim.

    Args:
        folder: the directory.
        stored: what `only_stored` says of the experiment; None: it is asked.

    Returns and raises as `heal_experiment`.
    """
    said = [
        *_heal_file(folder / OUT_OF_MEMORY_FILE, _read_attempts, "the attempts that ran out of memory are forgotten"),
        *_heal_file(folder / DIVERGED_FILE, _read_divergence, "the trial is trained again"),
    ]
    path = folder / FINISHED_FILE
    if path.exists():
        try:
            finished = read_finished(path)
        except DamagedError as damage:
            said.append(_set_aside(path, str(damage), "the trial is trained again"))
        else:
            said += _heal_kept(folder, finished, only_stored(folder.parent) if stored is None else stored)
    else:
        lost = "what the trial ran with before can't be told any more"
        said += _heal_file(folder / RECORD_FILE, read_trial_record, lost)
    if said:
        forget_outcome(folder)  # the trial keeps a new one when it has run again
    return [*said, *_heal_file(folder / SUGGESTED_FILE, read_object, "a search can't be told it again")]


def does_without_weights(folder: Path) -> bool:
    """Whether a sweep that goes on needs a trial's weights for nothing: it has finished, is judged, and is whole."""
    try:
        finished = read_finished(folder / FINISHED_FILE)
        small = {name: noted for name, noted in finished.kept.items() if name not in (TRAINED_FILE, *finished.copies)}
        judged = NOT_JUDGED not in finished.rows[-1]
        return judged and TRAINED_FILE in finished.kept and not any(flaw(folder / name, small[name]) for name in small)
    except (DamagedError, OSError):
        return False


def _heal_kept(folder: Path, finished: Finished, stored: Mapping[str, int]) -> list[str]:
    """Restore each damaged file of a finished trial, or have the trial judged or trained again.

    Weights that lie in the store alone are held to their size; their checksum is for who brings them.
    """
    damaged = {name: damage for name, noted in finished.kept.items() if (damage := flaw(folder / name, noted))}
    is_away = not (folder / TRAINED_FILE).exists()
    if TRAINED_FILE in damaged and is_away:
        size = stored.get(f"{folder.name}/{TRAINED_FILE}")
        if size is not None and size == finished.kept[TRAINED_FILE].get("bytes"):
            del damaged[TRAINED_FILE]
    said = []
    for name in damaged.keys() & finished.copies.keys():
        said.append(_set_aside(folder / name, damaged.pop(name), f"restored from {FINISHED_FILE}"))
        write_text(folder / name, finished.copies[name])
    if not damaged:
        return said
    if damaged.keys() == {RESPONSES_FILE} and not is_away:
        damage = damaged[RESPONSES_FILE]
        row = {name: value for name, value in finished.rows[-1].items() if name not in REWARD_METRICS}
        rows = [*finished.rows[:-1], {**row, NOT_JUDGED: f"{RESPONSES_FILE} {damage}"}]
        said.append(_set_aside(folder / RESPONSES_FILE, damage, "the trial is judged again"))
        write_finished(folder, finished.config, rows, finished.kept)
        return said
    said += [_set_aside(folder / name, damage, "the trial is trained again") for name, damage in damaged.items()]
    set_aside(folder / FINISHED_FILE, SUPERSEDED)
    return said


def _heal_file(path: Path, read: Callable[[Path], object], otherwise: str) -> list[str]:
    """Set aside a file that `read` can't read."""
    if not path.exists():
        return []
    try:
        read(path)
    except DamagedError as damage:
        return [_set_aside(path, str(damage), otherwise)]
    return []


def _read_attempts(path: Path) -> None:
    try:
        read_attempts(path.parent)
    except (ValueError, TypeError) as error:
        raise DamagedError(f"is not what a trial leaves ({type(error).__name__})") from None


def _read_divergence(path: Path) -> None:
    if " became " not in read_text(path):
        raise DamagedError("is not what a trial leaves")


def _set_aside(path: Path, damage: str, then: str) -> str:
    return f"{path}: {damage}{set_aside(path)}; {then}"
