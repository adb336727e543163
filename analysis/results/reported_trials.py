"""The trials of an experiment in the order of a report, each with its arm and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.results.arm_labels import REPLICATE_FIELD, arm_key, is_tuning, label_arms
from analysis.results.files import TrialFiles
from analysis.results.outcomes import Rows, finite, has_finished, outcome_of
from analysis.results.trial_numbers import summarize
from basis.control_record import Decision
from basis.fields import optimizer_order
from basis.metrics import NOT_JUDGED
from basis.outcome_file import read_outcome
from basis.outcomes import Ending, Outcome, ending_in_traceback, ending_of_finished


@dataclass(frozen=True)
class TrialDirectory:
    """A trial as its directory and Ray's record of it tell it.

    Attributes:
        trial_id: Ray's name for it.
        folder: its directory.
        status: Ray's status of it.
        error: the text of its last failure, if Ray has one.
        config: its TrialConfig; empty where it is lost.
        files: what its directory holds.
    """

    trial_id: str
    folder: Path
    status: str
    error: str | None
    config: dict[str, Any]
    files: TrialFiles

    @property
    def name(self) -> str:
        """Name of its directory, by which a report knows it."""
        return self.folder.name


@dataclass(frozen=True)
class ReportedTrial:
    """A trial with what a report says of it.

    Attributes:
        record: what is kept of it.
        arm: label of its arm.
        outcome: what became of it.
        reason: why, where it did not finish or was not judged; empty otherwise.
        rows: its rows; none for a trial that repeats another.
        numbers: what they condense to, see `summarize`.
    """

    record: TrialDirectory
    arm: str
    outcome: Outcome
    reason: str
    rows: Rows
    numbers: dict[str, Any]

    @property
    def is_tuning(self) -> bool:
        """Whether it only served to choose settings."""
        return is_tuning(self.record.config)

    @property
    def key(self) -> dict[str, Any]:
        """What each of its rows in a frame begins with."""
        return {"trial": self.record.name, "arm": self.arm, "seed": self.record.config.get(REPLICATE_FIELD)}


def reported_trials(records: Sequence[TrialDirectory], stopped: Mapping[str, Decision]) -> list[ReportedTrial]:
    """Say of each trial which arm it belongs to and what became of it.

    Args:
        records: the trials of an experiment.
        stopped: those that were stopped by request, by name.

    Returns:
        The trials in the order of a report. Of trials with one config, seed included, the first that finished counts;
        the others repeat it, as a search does that proposes a config twice: they are no replicates.
    """
    labels = label_arms(record.config for record in records if not is_tuning(record.config))
    originals: dict[str, str] = {}
    trials = []
    for record in sorted(
        records, key=lambda record: (report_order(record.config), not has_finished(record.files.rows))
    ):
        key = arm_key(record.config)
        arm = labels.get(key, "unknown config")
        config = f"{key} {record.config.get(REPLICATE_FIELD)!r}"
        original = originals.setdefault(config, record.name) if record.config else record.name
        if original != record.name:
            trials.append(ReportedTrial(record, arm, Outcome.REPEATED, f"the config of {original} once more", [], {}))
            continue
        outcome, reason = outcome_of(record.status, _failure(record), record.files.rows, stopped.get(record.name))
        numbers = summarize(record.files.rows)
        if outcome == Outcome.FINISHED:
            reason = ending_of_finished(numbers.get(NOT_JUDGED)).reason
        trials.append(ReportedTrial(record, arm, outcome, reason, record.files.rows, numbers))
    return trials


def _failure(record: TrialDirectory) -> Ending | None:
    """How a trial failed last, if it did: as it has kept it, or by its traceback where it was made before that."""
    if record.status != "ERROR":
        return None
    return read_outcome(record.folder) or ending_in_traceback(record.error)


def report_order(config: Mapping[str, Any]) -> tuple[bool, float, float, float, float]:
    """Order of trials in a report: full before LoRA, then rank, optimizer from plain to elaborate, learning rate."""
    numbers = [config.get(name) for name in ("lr", REPLICATE_FIELD)]
    lr, seed = (float(number or 0) if finite(number) else 0.0 for number in numbers)
    rank, optimizer = float(config.get("rank") or 0), optimizer_order(config.get("optimizer"))
    return config.get("method") != "full", rank, optimizer, lr, seed
