"""Finished trials with what they have kept, to be judged once more."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basis.checksums import Seal
from basis.directory import CHECKPOINT_FILE, FINISHED_FILE, RECORD_FILE, SPEC_FILE, TRAINED_FILE
from basis.errors import UserError
from basis.metrics import NOT_JUDGED
from basis.read_json import DamagedError, read_object
from basis.stages import Stage
from basis.stored.index import only_stored
from sweep.storage.finished import read_finished
from sweep.trial.config import TrialConfig


@dataclass(frozen=True)
class KeptTrial:
    """A finished trial with what it has kept.

    Attributes:
        folder: its directory.
        config: its config.
        rows: the rows of metrics in its finished.json.
        record: the content of its record.json.
        threads: how many threads an operation on the CPU took.
        device_type: what it trained on, "cpu" or "cuda".
        kept: the seals of its files, see `sweep.storage.finished`.
    """

    folder: Path
    config: TrialConfig
    rows: list[dict[str, Any]]
    record: dict[str, Any]
    threads: int
    device_type: str
    kept: dict[str, Seal]

    @property
    def has_weights(self) -> bool:
        """Whether what it trained is still there."""
        return (self.folder / TRAINED_FILE).is_file()

    @property
    def has_stored_weights(self) -> bool:
        """Whether what it trained lies in object storage, from where it has not been brought."""
        return f"{self.folder.name}/{TRAINED_FILE}" in only_stored(self.folder.parent)

    @property
    def is_judged(self) -> bool:
        """Whether it has rewards."""
        return NOT_JUDGED not in self.rows[-1]


def find_experiment(directory: Path) -> tuple[Path, str | None]:
    """The experiment that a directory is or lies in, and the name of the one trial that is asked for.

    Raises:
        UserError: it is neither an experiment nor a finished trial of one.
    """
    place = directory.expanduser().resolve()
    if (place / SPEC_FILE).is_file():
        return place, None
    if (place.parent / SPEC_FILE).is_file() and (place / FINISHED_FILE).is_file():
        return place.parent, place.name
    if (place.parent / SPEC_FILE).is_file():
        raise UserError(f"{directory}: no {FINISHED_FILE} in it, so the trial has not finished; --resume finishes it")
    raise UserError(f"{directory}: no {SPEC_FILE} in it; name an experiment directory, or the directory of a trial")


def check_finished(trial_dir: Path) -> None:
    """Refuse to reproduce a directory that is no finished trial with a record.

    Raises:
        UserError: in one line, what is missing.
    """
    place, experiment_dir = f"--reproduce {trial_dir}", trial_dir.resolve().parent
    if not trial_dir.is_dir():
        raise UserError(f"{place}: no such directory; name a trial's, EXPERIMENT_DIR/TRIAL")
    if (trial_dir / SPEC_FILE).is_file():
        raise UserError(f"{place}: is an experiment; name the directory of one of its trials")
    begun = any((trial_dir / name).is_file() for name in (FINISHED_FILE, RECORD_FILE, CHECKPOINT_FILE, "params.json"))
    if not begun:
        raise UserError(f"{place}: is no trial's directory: none of a trial's files is in it")
    if not (experiment_dir / SPEC_FILE).is_file():
        raise UserError(f"{place}: no {SPEC_FILE} beside it; name a trial within its experiment directory")
    if not (trial_dir / FINISHED_FILE).is_file():
        raise UserError(
            f"{place}: no {FINISHED_FILE} in it, so the trial has not finished; --resume {experiment_dir} finishes it"
        )
    if not (trial_dir / RECORD_FILE).is_file():
        raise UserError(
            f"{place}: no {RECORD_FILE} in it; trials finished before there were records can't be held to one"
        )


def finished_trials(experiment_dir: Path) -> tuple[list[KeptTrial], list[str]]:
    """The finished trials of an experiment that are to be judged; trials that only served tuning are not.

    Returns:
        The trials, and a line for each one that can't be judged since a file of it is damaged.
    """
    trials, damaged = [], []
    for path in sorted(experiment_dir.glob(f"*/{FINISHED_FILE}")):
        folder, read = path.parent, path
        try:
            finished = read_finished(path)
            if finished.config.evaluate_on == Stage.TUNING:
                continue
            read = folder / RECORD_FILE
            record = read_object(read)
            threads, device_type = int(record["hardware"]["threads"]), str(record["hardware"]["device_type"])
            trials.append(
                KeptTrial(folder, finished.config, finished.rows, record, threads, device_type, finished.kept)
            )
        except DamagedError as damage:
            damaged.append(f"{read}: {damage}")
        except (ValueError, LookupError, TypeError):
            damaged.append(f"{read}: is not what a trial leaves")
    return trials, damaged


def check_unchanged(trials: Sequence[KeptTrial], hashes: dict[str, str]) -> None:
    """Refuse another base model or tokenizer than the trials were trained from.

    Raises:
        UserError: naming the trial and what changed.
    """
    for trial in trials:
        for name in ("base_weights", "tokenizer"):
            if trial.record["hashes"].get(name) != hashes[name]:
                what = name.replace("_", " ")
                raise UserError(
                    f"{trial.folder}: {what} changed since it was trained, so its model can't be made again"
                )
