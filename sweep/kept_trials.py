"""Finished trials with what they have kept, to be judged once more."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.errors import UserError, first_line
from sweep.names import FINISHED_FILE, NOT_JUDGED, RECORD_FILE, SPEC_FILE, TRAINED_FILE
from sweep.trial import TrialConfig


@dataclass(frozen=True)
class KeptTrial:
    """A finished trial with what it has kept.

    Attributes:
        folder: its directory.
        config: what it was.
        rows: of finished.json.
        record: of record.json.
        threads: of an operation on the CPU.
        device_type: what it trained on, "cpu" or "cuda".
    """

    folder: Path
    config: TrialConfig
    rows: list[dict[str, Any]]
    record: dict[str, Any]
    threads: int
    device_type: str

    @property
    def has_weights(self) -> bool:
        """Whether what it trained is still there."""
        return (self.folder / TRAINED_FILE).is_file()

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


def finished_trials(experiment_dir: Path) -> list[KeptTrial]:
    """The finished trials of an experiment that are to be judged; trials that only served tuning are not.

    Raises:
        UserError: one of them has a file that can't be read.
    """
    trials = []
    for path in sorted(experiment_dir.glob(f"*/{FINISHED_FILE}")):
        folder = path.parent
        try:
            finished = json.loads(path.read_text(encoding="utf-8"))
            config = TrialConfig.model_validate(finished["config"])
            if config.evaluate_on == "validation":
                continue
            record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
            hardware = record["hardware"]
            threads, device_type = int(hardware["threads"]), str(hardware["device_type"])
            trials.append(KeptTrial(folder, config, finished["rows"], record, threads, device_type))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(f"{folder}: is not as a trial leaves it ({first_line(error)})") from None
    return trials


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
