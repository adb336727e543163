"""Reads an experiment directory into tidy DataFrames: one row per trial, per report and per response.

The only file of `analysis` that imports Ray; what it reads of files is in `files`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.fs  # type: ignore[import-untyped]
from ray.tune import ExperimentAnalysis
from ray.tune.experiment import Trial

from analysis.results.company import ran_alone
from analysis.results.damage import damaged_files
from analysis.results.files import (
    TrialFiles,
    read_mapping,
    read_trial_files,
)
from analysis.results.frames import (
    attempt_frame,
    curve_frame,
    general_loss_frame,
    response_frame,
    trial_frame,
    tuning_frame,
    window_loss_frame,
)
from analysis.results.made_of import made_of
from analysis.results.reported_trials import TrialDirectory, reported_trials
from analysis.results.state import STATE_FILES, RecordedTrial, read_trials
from basis.control_record import Decision, read_decisions, stopped_trials
from basis.directory import PARAMS_FILE, REPLACEMENT_DIR, SPEC_FILE, SWEEP_FILE
from basis.errors import UserError
from basis.scripts import as_called

MOST_HINTED = 5
"""Experiments of a folder that an error names."""


@dataclass(frozen=True)
class Results:
    """What an experiment directory holds.

    Attributes:
        directory: the experiment directory, absolute.
        trials: one row per trial: `trial` (directory name), `arm`, `outcome`, `reason`, the fields of its config,
            the last value of each metric (`micro_batch` and `activation_checkpointing` are those that the trial ran
            with; its config has those that were asked for), `test_loss_best`, `test_loss_best_step`,
            `test_loss_last10_mean`.
        curves: one row per trial and step: `trial`, `arm`, `seed` and the metrics reported at that step.
        responses: one row per trial and prompt: `trial`, `arm`, `seed`, `index` and the keys of responses.jsonl;
            `index` is the number of the prompt from 0, which a lost line does not move.
        attempts: one row per attempt at a trial that ran out of memory, oldest first, whatever became of the trial:
            `trial`, `arm`, `seed`, `outcome` and the keys of out_of_memory.json.
        tuning: one row per trial that only served to choose settings, on validation windows: columns as in `trials`,
            without `arm`. Such trials are in none of the frames above.
        window_losses: one row per trial and fixed test window: `trial`, `arm`, `seed`, `window` (from 0), `test_loss`
            after the last step in nats/token; no rows for a trial that kept none.
        general_losses: one row per trial and window of general text: `trial`, `arm`, `seed`, `window` (from 0),
            `general_loss` after the last step and `general_loss_base` before the first, in nats/token; no rows for a
            trial that kept none.
        records: what each trial kept in record.json, by directory name; empty where it kept none.
        spec: the resolved spec.
        sweep: versions, hardware, data and times.
        configs: the TrialConfig of each trial, by directory name; empty where it is lost.
        damaged: which of its files are not as the sweep has left them, a sentence each; see `damaged_files`.
        control: what was asked of the sweep while it ran, and what came of it.
        parts: of several sweeps that are reported as one each by its name, see `several`; none for a single one.
        made_of: a hash of all that this and its report depend on; empty of several sweeps. See `made_of`.
        origins: the name of its sweep by trial, where there are several.
        unlike_repeats: trials that repeat another sweep's and ended in another loss, a sentence each.
    """

    directory: Path
    trials: pd.DataFrame
    curves: pd.DataFrame
    responses: pd.DataFrame
    attempts: pd.DataFrame
    tuning: pd.DataFrame
    window_losses: pd.DataFrame
    general_losses: pd.DataFrame
    records: dict[str, dict[str, Any]]
    spec: dict[str, Any]
    sweep: dict[str, Any]
    configs: dict[str, dict[str, Any]]
    damaged: list[str]
    control: list[Decision]
    parts: Mapping[str, "Results"] = field(default_factory=dict)
    made_of: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    unlike_repeats: tuple[str, ...] = ()

    @property
    def sweeps(self) -> list["Results"]:
        """Each sweep by itself: what is on record of it as a whole, such as its spec, is no other's."""
        return list(self.parts.values()) or [self]

    def sweep_of(self, trial: str) -> "Results":
        """The sweep that a trial comes from."""
        return self.parts[self.origins[trial]] if trial in self.origins else self

    def sweeps_of(self, trials: Iterable[str]) -> list["Results"]:
        """The sweeps that these trials come from, each once."""
        names = dict.fromkeys(self.origins.get(trial) for trial in trials)
        return [self.parts[name] if name else self for name in names]


def read_experiment(directory: Path) -> Results:
    """Read an experiment directory.

    Args:
        directory: the experiment directory; a relative path is resolved.

    Returns:
        The directory's content; trials that failed or never reported have a row too.

    Raises:
        UserError: `directory` is missing or is not an experiment directory.
    """
    directory = _experiment_directory(directory)
    made = made_of(directory)  # first, so that what changes while it is read makes a difference
    records = [_trial_record(trial) for trial in _analysed(directory, read_trials(directory))]
    control = read_decisions(directory)
    trials = reported_trials(records, stopped_trials(control))
    compared = [trial for trial in trials if not trial.is_tuning]
    alone = ran_alone({record.name: record.files.rows for record in records})
    return Results(
        directory=directory,
        trials=trial_frame(compared, alone),
        curves=curve_frame(compared),
        responses=response_frame(compared),
        attempts=attempt_frame(compared),
        tuning=tuning_frame([trial for trial in trials if trial.is_tuning], alone),
        window_losses=window_loss_frame(compared),
        general_losses=general_loss_frame(compared),
        records={record.name: record.files.record for record in records},
        spec=read_mapping(directory / SPEC_FILE),
        sweep=read_mapping(directory / SWEEP_FILE),
        configs={record.name: record.config for record in records},
        damaged=damaged_files(directory, {record.name: record.files for record in records}),
        control=control,
        made_of=made,
    )


def _experiment_directory(directory: Path) -> Path:
    """The path of an experiment directory, absolute.

    Raises:
        UserError: it is missing, is no experiment directory, or its trials are half judged.
    """
    try:
        directory = directory.expanduser().resolve()
    except (RuntimeError, ValueError):  # no such user, a link to itself, a NUL
        raise UserError(f"{str(directory)!r} names no directory of this machine; give that of an experiment") from None
    if not directory.is_dir():
        raise UserError(f"{directory} is not a directory; give the directory of an experiment")
    if not any(directory.glob(STATE_FILES)):
        inside = sorted({state.parent.name for state in directory.glob(f"*/{STATE_FILES}")})
        hint = f"; it holds {len(inside)}, to be given each: {', '.join(inside[:MOST_HINTED])}" if inside else ""
        raise UserError(f"{directory} is not an experiment: it has no {STATE_FILES} of Ray Tune{hint}")
    if (directory / REPLACEMENT_DIR).exists():
        judge = as_called("sweep.reward_metric", str(directory))
        raise UserError(
            f"{directory}: its trials were being judged anew when the process ended; finish that with: {judge}"
        )
    return directory


@dataclass(frozen=True)
class _Folder:
    """Where a trial's files lie, under the names by which ExperimentAnalysis asks for it."""

    trial_fs_path: str
    storage_filesystem: pyarrow.fs.FileSystem


class _Unread(Trial):  # type: ignore[misc]  # Ray has no types
    """A trial that Ray takes for one without reports: it would make a DataFrame of each, which nobody reads."""

    @property
    def last_result(self) -> None:
        """None, which says that there is nothing to read."""
        return None


def _analysed(directory: Path, recorded: list[RecordedTrial]) -> list[Trial]:
    """The trials of Ray's ExperimentAnalysis, which is handed them: left to read a state itself, it would unpickle."""
    trials, files = [], pyarrow.fs.LocalFileSystem()
    for record in recorded:
        folder = _Folder(str(directory / record.folder), files)
        trial = _Unread("", trial_id=record.trial_id, config=record.config, storage=folder, stub=True)
        trial.set_status(record.status)
        trial.run_metadata.error_filename = record.error_file
        trials.append(trial)
    return ExperimentAnalysis(str(directory), trials=trials).trials if trials else []  # of none it would look itself


def _trial_record(trial: Trial) -> TrialDirectory:
    """A trial with the rows and the config that its directory holds."""
    folder = Path(trial.path)
    files = read_trial_files(folder)
    config = (trial.config if isinstance(trial.config, Mapping) else {}) or _config(folder, files)
    # A TrialConfig is flat: what else is there is what a search algorithm chose it by, and no part of the arm.
    flat = {name: value for name, value in config.items() if "/" not in name and not isinstance(value, Mapping)}
    return TrialDirectory(trial.trial_id, folder, trial.status, trial.get_error(), flat, files)


def _config(folder: Path, files: TrialFiles) -> Mapping[str, Any]:
    """The trial's config, where Ray's own record has none: after an interrupt params.json or a row still has it."""
    kept = read_mapping(folder / PARAMS_FILE)
    return kept or next((row["config"] for row in files.rows if isinstance(row.get("config"), Mapping)), {})
