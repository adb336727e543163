"""The tidy frames of an experiment, one function for each; `Results` says what their rows and columns are."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.results.company import RAN_ALONE
from analysis.results.outcomes import LOSS_COLUMNS
from analysis.results.prompt_order import number_by_prompt
from analysis.results.reported_trials import ReportedTrial
from analysis.results.trial_numbers import metrics_of
from basis.metrics import EXECUTION_METRICS, GENERAL_LOSS_BASE
from basis.outcomes import Outcome


def trial_frame(trials: Sequence[ReportedTrial], alone: Mapping[str, bool]) -> pd.DataFrame:
    """One row per trial, see `Results.trials`.

    Args:
        trials: the trials that a report compares.
        alone: whether each trial had its place to itself, by its directory's name; see `company.ran_alone`.
    """
    rows = [_trial_row(trial, alone) for trial in trials]
    return pd.DataFrame(rows, columns=None if rows else ["trial", "arm", "outcome", "reason"])


def tuning_frame(trials: Sequence[ReportedTrial], alone: Mapping[str, bool]) -> pd.DataFrame:
    """One row per trial that only served to choose settings, see `Results.tuning`."""
    rows = [_trial_row(trial, alone) for trial in trials]
    return pd.DataFrame(rows, columns=None if rows else ["trial", "outcome", "reason"]).drop(
        columns="arm", errors="ignore"
    )


def curve_frame(trials: Sequence[ReportedTrial]) -> pd.DataFrame:
    """One row per trial and step, see `Results.curves`."""
    rows = [{**trial.key, **metrics_of(row)} for trial in trials for row in trial.rows]
    return pd.DataFrame(rows, columns=None if rows else ["trial", "arm", "seed", "step", *LOSS_COLUMNS])


def response_frame(trials: Sequence[ReportedTrial]) -> pd.DataFrame:
    """One row per trial and prompt, see `Results.responses`."""
    answering = [trial for trial in trials if trial.outcome != Outcome.REPEATED]
    files = number_by_prompt([trial.record.files.responses for trial in answering])
    rows = [
        {**trial.key, **line, "index": number}
        for trial, lines in zip(answering, files, strict=True)
        for number, line in lines
    ]
    return pd.DataFrame(rows, columns=None if rows else ["trial", "arm", "seed", "index"])


def attempt_frame(trials: Sequence[ReportedTrial]) -> pd.DataFrame:
    """One row per attempt that ran out of memory, see `Results.attempts`."""
    rows = [
        {**attempt, **trial.key, "outcome": trial.outcome.value}
        for trial in trials
        if trial.outcome != Outcome.REPEATED
        for attempt in trial.record.files.attempts
    ]
    return pd.DataFrame(rows, columns=None if rows else ["trial", "arm", "seed", "outcome"])


def window_loss_frame(trials: Sequence[ReportedTrial]) -> pd.DataFrame:
    """One row per trial and fixed test window, see `Results.window_losses`."""
    rows = [
        {**trial.key, "window": window, "test_loss": loss}
        for trial in trials
        if trial.outcome != Outcome.REPEATED
        for window, loss in enumerate(trial.record.files.window_losses)
    ]
    return pd.DataFrame(rows, columns=["trial", "arm", "seed", "window", "test_loss"])


def general_loss_frame(trials: Sequence[ReportedTrial]) -> pd.DataFrame:
    """One row per trial and window of general text, see `Results.general_losses`."""
    rows = [
        {**trial.key, "window": window, "general_loss": last, GENERAL_LOSS_BASE: base}
        for trial in trials
        if trial.outcome != Outcome.REPEATED
        for window, (last, base) in enumerate(trial.record.files.general_losses)
    ]
    return pd.DataFrame(rows, columns=["trial", "arm", "seed", "window", "general_loss", GENERAL_LOSS_BASE])


def _trial_row(trial: ReportedTrial, alone: Mapping[str, bool]) -> dict[str, Any]:
    """A trial's config, what became of it and the numbers that its rows condense to."""
    record = trial.record
    row = {"trial": record.name, "arm": trial.arm, "trial_id": record.trial_id, "outcome": trial.outcome.value}
    asked = {name: value for name, value in record.config.items() if name not in EXECUTION_METRICS}
    row |= {"reason": trial.reason, **asked, **trial.numbers}
    return row | ({RAN_ALONE: alone[record.name]} if record.name in alone else {})
