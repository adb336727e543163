"""Reads an experiment directory into tidy DataFrames: one row per trial, per report and per response.

The only file of `analysis` that imports Ray; what it reads of files is in `experiment_files`.
"""

import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.fs  # type: ignore[import-untyped]
from ray.tune import ExperimentAnalysis
from ray.tune.experiment import Trial

from analysis.results.company import RAN_ALONE, ran_alone
from analysis.results.files import (
    read_attempts,
    read_mapping,
    read_reports,
    read_responses,
    read_window_losses,
)
from analysis.results.outcomes import LOSS_COLUMNS, finite, first_divergence, has_finished, outcome_of
from analysis.results.prompt_order import number_by_prompt
from analysis.results.state import STATE_FILES, RecordedTrial, read_trials
from basis.directory import PARAMS_FILE, RECORD_FILE, REPLACEMENT_DIR, RESPONSES_FILE, SPEC_FILE, SWEEP_FILE
from basis.errors import UserError
from basis.fields import arm_label, optimizer_order
from basis.metrics import DEVICE, EXECUTION_METRICS, METRIC, NOT_JUDGED, PEAK_SOURCE
from basis.outcome_file import read_outcome
from basis.outcomes import Ending, Outcome, ending_in_traceback, ending_of_finished
from basis.scripts import as_called
from basis.stages import Stage

REPLICATE_FIELD = "seed"
"""The one field in which the replicates of an arm differ."""


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
        records: what each trial kept in record.json, by directory name; empty where it kept none.
        spec: the resolved spec.
        sweep: versions, hardware, data and times.
        configs: the TrialConfig of each trial, by directory name; empty where it is lost.
    """

    directory: Path
    trials: pd.DataFrame
    curves: pd.DataFrame
    responses: pd.DataFrame
    attempts: pd.DataFrame
    tuning: pd.DataFrame
    window_losses: pd.DataFrame
    records: dict[str, dict[str, Any]]
    spec: dict[str, Any]
    sweep: dict[str, Any]
    configs: dict[str, dict[str, Any]]


def load(directory: Path) -> Results:
    """Read an experiment directory.

    Args:
        directory: the experiment directory; a relative path is resolved.

    Returns:
        The directory's content; trials that failed or never reported have a row too.

    Raises:
        UserError: `directory` is missing or is not an experiment directory.
    """
    try:
        directory = directory.expanduser().resolve()
    except (RuntimeError, ValueError):  # no such user, a link to itself, a NUL
        raise UserError(f"{str(directory)!r} names no directory of this machine; give that of an experiment") from None
    if not directory.is_dir():
        raise UserError(f"{directory} is not a directory; give the directory of an experiment")
    if not any(directory.glob(STATE_FILES)):
        raise UserError(f"{directory} is not an experiment: it has no {STATE_FILES} of Ray Tune")
    if (directory / REPLACEMENT_DIR).exists():
        judge = as_called("sweep.reward_metric", str(directory))
        raise UserError(
            f"{directory}: its trials were being judged anew when the process ended; finish that with: {judge}"
        )
    found = _analysed(directory, read_trials(directory))
    reports = {trial.trial_id: read_reports(Path(trial.path)) for trial in found}
    configs = {trial.trial_id: _config(trial.config, Path(trial.path), reports[trial.trial_id]) for trial in found}
    alone = ran_alone({Path(trial.path).name: reports[trial.trial_id] for trial in found})
    labels = label_arms(config for config in configs.values() if not is_tuning(config))
    trials, curves, answered, attempts, tuning, window_losses = [], [], [], [], [], []
    first: dict[str, str] = {}
    for trial in sorted(found, key=lambda t: (_order(configs[t.trial_id]), not has_finished(reports[t.trial_id]))):
        config, rows, path = configs[trial.trial_id], reports[trial.trial_id], Path(trial.path)
        key = {"trial": path.name, "arm": labels.get(arm_key(config), "unknown config")}
        outcome, reason = outcome_of(trial.status, _failure(trial, path), rows)
        original = first.setdefault(json.dumps(config, sort_keys=True, default=str), path.name) if config else path.name
        if original != path.name:  # a search that proposes a config twice gets the same rows again: no replicate
            outcome, reason, rows = Outcome.REPEATED, f"the config of {original} once more", []
        summary = summarize(rows)
        if outcome == Outcome.FINISHED:
            reason = ending_of_finished(summary.get(NOT_JUDGED)).reason
        asked = {name: value for name, value in config.items() if name not in EXECUTION_METRICS}
        row = {**key, "trial_id": trial.trial_id, "outcome": outcome.value, "reason": reason, **asked, **summary}
        row |= {RAN_ALONE: alone[path.name]} if path.name in alone else {}
        if is_tuning(config):
            del row["arm"]
            tuning.append(row)
            continue
        trials.append(row)
        seed = config.get(REPLICATE_FIELD)
        curves += [{**key, "seed": seed, **_metrics(r)} for r in rows]
        if outcome != Outcome.REPEATED:
            answered.append(({**key, "seed": seed}, read_responses(path / RESPONSES_FILE)))
            attempts += [{**one, **key, "seed": seed, "outcome": outcome.value} for one in read_attempts(path)]
            losses = enumerate(read_window_losses(path))
            window_losses += [{**key, "seed": seed, "window": i, "test_loss": loss} for i, loss in losses]
    numbered = number_by_prompt([lines for _, lines in answered])
    responses = [
        {**key, **one, "index": i} for (key, _), lines in zip(answered, numbered, strict=True) for i, one in lines
    ]
    return Results(
        directory=directory,
        trials=pd.DataFrame(trials, columns=None if trials else ["trial", "arm", "outcome", "reason"]),
        curves=pd.DataFrame(curves, columns=None if curves else ["trial", "arm", "seed", "step", *LOSS_COLUMNS]),
        responses=pd.DataFrame(responses, columns=None if responses else ["trial", "arm", "seed", "index"]),
        attempts=pd.DataFrame(attempts, columns=None if attempts else ["trial", "arm", "seed", "outcome"]),
        tuning=pd.DataFrame(tuning, columns=None if tuning else ["trial", "outcome", "reason"]),
        window_losses=pd.DataFrame(window_losses, columns=["trial", "arm", "seed", "window", "test_loss"]),
        records={Path(trial.path).name: read_mapping(Path(trial.path) / RECORD_FILE) for trial in found},
        spec=read_mapping(directory / SPEC_FILE),
        sweep=read_mapping(directory / SWEEP_FILE),
        configs={Path(trial.path).name: configs[trial.trial_id] for trial in found},
    )


@dataclass(frozen=True)
class _Folder:
    """Where a trial's files lie, under the names by which ExperimentAnalysis asks for it."""

    trial_fs_path: str
    storage_filesystem: pyarrow.fs.FileSystem


def _analysed(directory: Path, recorded: list[RecordedTrial]) -> list[Trial]:
    """The trials of Ray's ExperimentAnalysis, which is handed them: left to read a state itself, it would unpickle."""
    logging.getLogger("ray.tune.analysis").setLevel(logging.ERROR)  # it warns of each trial that has not reported
    trials, files = [], pyarrow.fs.LocalFileSystem()
    for one in recorded:
        folder = _Folder(str(directory / one.folder), files)
        trial = Trial("", trial_id=one.trial_id, config=one.config, storage=folder, stub=True)
        trial.set_status(one.status)
        trial.run_metadata.error_filename = one.error_file
        trials.append(trial)
    return ExperimentAnalysis(str(directory), trials=trials).trials if trials else []  # of none it would look itself


def _failure(trial: Trial, path: Path) -> Ending | None:
    """How a trial failed last, if it did: as it has kept it, or by its traceback where it was made before that."""
    if trial.status != "ERROR":
        return None
    return read_outcome(path) or ending_in_traceback(trial.get_error())


def is_tuning(config: Mapping[str, Any]) -> bool:
    """Whether a trial only served to choose settings: such a one never sees test windows or prompts."""
    return config.get("evaluate_on") == Stage.TUNING


def label_arms(configs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Name every arm, with the fields in which arms of the same short name differ.

    Args:
        configs: the configs of all trials; empty ones are passed over.

    Returns:
        Label of each arm by its key (see `arm_key`), such as "lora r1 adamw lr=0.001".
    """
    arms = {arm_key(config): config for config in configs if config}
    groups: dict[str, list[str]] = {}
    for key, config in arms.items():
        groups.setdefault(arm_label(dict(config)), []).append(key)
    labels: dict[str, str] = {}
    for short, keys in groups.items():
        names = dict.fromkeys(name for key in keys for name in arms[key] if name != REPLICATE_FIELD)
        differing = [name for name in names if len({repr(arms[key].get(name)) for key in keys}) > 1]
        for digits in (3, 6, 17):  # no more digits than it takes to tell the arms apart
            fields = {key: [f"{name}={show_field(arms[key].get(name), digits)}" for name in differing] for key in keys}
            if len(set(map(tuple, fields.values()))) == len(keys):
                break
        labels |= {key: " ".join([short, *fields[key]]) for key in keys}
    return labels


def show_field(value: object, digits: int = 3) -> str:
    """A config value as text: lists joined by "+", floats with so many significant digits."""
    if isinstance(value, (list, tuple)):
        return "+".join(show_field(item, digits) for item in value) or "none"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return "none" if value is None else str(value)


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of one trial from its rows: the last value of each metric, and what a curve condenses to.

    Args:
        rows: one row per step, in order.

    Returns:
        Metric values by name; tokens_per_second is the median over reports, since a first report holds the warm-up.
        test_loss_last10_mean leaves out step 0 and is NaN with fewer than ten test losses after it.
    """
    values: dict[str, Any] = {}
    for row in rows:
        values.update(_metrics(row))
    if "win_rate" in values:
        values.pop(NOT_JUDGED, None)  # judged since, as a later row of the same step says
    speeds = [row["tokens_per_second"] for row in rows if row.get("tokens_per_second")]
    if speeds:
        values["tokens_per_second"] = float(pd.Series(speeds).median())
    tests = [
        (row["test_loss"], row["step"]) for row in rows if finite(row.get("test_loss")) and finite(row.get("step"))
    ]
    if tests:
        values["test_loss_best"], values["test_loss_best_step"] = min(tests)
        trained = [loss for loss, step in tests if step > 0]
        values["test_loss_last10_mean"] = sum(trained[-10:]) / 10 if len(trained) >= 10 else math.nan
    if (step := first_divergence(rows)) is not None:
        values |= {"diverged_step": step, "test_loss_last10_mean": math.nan}  # older losses would pass for final ones
    return values


def _metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in (*METRIC, PEAK_SOURCE, DEVICE, NOT_JUDGED) if name in row}


def _config(config: object, path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The trial's config; after an interrupt Ray's own record can be None while params.json or a row still has it."""
    reported: Mapping[str, Any] = next((row["config"] for row in rows if isinstance(row.get("config"), Mapping)), {})
    found = dict((config if isinstance(config, Mapping) else {}) or read_mapping(path / PARAMS_FILE) or reported)
    # A TrialConfig is flat: what else is there is what a search algorithm chose it by, and no part of the arm.
    return {name: value for name, value in found.items() if "/" not in name and not isinstance(value, Mapping)}


def arm_key(config: Mapping[str, Any]) -> str:
    """The identity of an arm: its config without the seed, as text."""
    return json.dumps({k: v for k, v in config.items() if k != REPLICATE_FIELD}, sort_keys=True, default=str)


def _order(config: Mapping[str, Any]) -> tuple[bool, float, float, float, float]:
    """Order of trials in a report: full before LoRA, then rank, optimizer from plain to elaborate, learning rate."""
    numbers = [config.get(name) for name in ("lr", REPLICATE_FIELD)]
    lr, seed = (float(number or 0) if finite(number) else 0.0 for number in numbers)
    return (
        config.get("method") != "full",
        float(config.get("rank") or 0),
        optimizer_order(config.get("optimizer")),
        lr,
        seed,
    )
