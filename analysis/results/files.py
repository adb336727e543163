"""Reads the files of an experiment directory, whatever state a killed process left them in."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analysis.results.outcomes import finite
from basis.directory import (
    FINISHED_FILE,
    OUT_OF_MEMORY_FILE,
    RECORD_FILE,
    RESPONSES_FILE,
    RESULT_FILE,
    WINDOW_LOSSES_FILE,
)
from basis.metrics import GENERAL_LOSS_BASE, with_present_names

REWARDS = ("reward", "base_reward")


@dataclass(frozen=True)
class FinishedFile:
    """What finished.json says, which a trial writes last.

    Attributes:
        rows: all rows of the trial; none where the file can't be read.
        seals: size and checksum of each file that the trial keeps, by name.
    """

    rows: list[dict[str, Any]]
    seals: Mapping[str, Any]


@dataclass(frozen=True)
class TrialFiles:
    """What the directory of a trial holds, as far as it can be read.

    Attributes:
        rows: its reports: those of its result.json, or of its finished.json where the former lacks some.
        reported_steps: the steps of the reports in its result.json.
        finished: its finished.json; None where there is none.
        record: record.json, what its numbers depend on.
        responses: number and content of each line of responses.jsonl.
        attempts: the attempts that ran out of memory, oldest first.
        window_losses: the last loss of each test window, in nats/token.
        general_losses: of each window of general text the last loss and the base model's, in nats/token.
    """

    rows: list[dict[str, Any]]
    reported_steps: list[Any]
    finished: FinishedFile | None
    record: dict[str, Any]
    responses: list[tuple[int, dict[str, Any]]]
    attempts: list[dict[str, Any]]
    window_losses: list[float]
    general_losses: list[tuple[float, float]]


def read_trial_files(folder: Path) -> TrialFiles:
    """Read the directory of a trial, each file once; what is missing, cut or something else is empty."""
    reported, finished = read_rows(folder / RESULT_FILE), read_finished_file(folder / FINISHED_FILE)
    steps = [row.get("step") for row in reported]
    kept = finished.rows if finished else []
    losses = read_mapping(folder / WINDOW_LOSSES_FILE)
    return TrialFiles(
        rows=kept if kept and steps != [row["step"] for row in kept] else reported,
        reported_steps=steps,
        finished=finished,
        record=read_mapping(folder / RECORD_FILE),
        responses=read_responses(folder / RESPONSES_FILE),
        attempts=read_attempts(folder),
        window_losses=losses_by_window(losses, "test_loss"),
        general_losses=general_losses_of(losses),
    )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reports of a result.json, or none where it is missing; of rows that repeat a `step` the later one wins.

    A row whose step is no number is passed over.

    A trial that goes on from a checkpoint, or starts afresh, reports earlier steps again: what it had reported beyond
    them belongs to the attempt that was lost. Read here and not taken from ExperimentAnalysis, whose DataFrame shows
    a NaN and an absent value alike and drops a trial altogether when a killed process left half a line.
    """
    read = [with_present_names(row) for _, row in _read_lines(path)]
    rows: list[dict[str, Any]] = []
    for row in read:
        if finite(row.get("step")):
            while rows and rows[-1]["step"] > row["step"]:
                rows.pop()
            # A last row with the rewards alone keeps the losses of its step.
            rows.append({**rows.pop(), **row} if rows and rows[-1]["step"] == row["step"] else row)
    return [*(row for row in read if "step" not in row), *rows]


def read_finished_file(path: Path) -> FinishedFile | None:
    """A finished.json; None where it is missing. One that is cut or something else has no rows."""
    if not path.exists():
        return None
    content = read_mapping(path)
    rows, seals = content.get("rows"), content.get("kept")
    is_whole = isinstance(rows, list) and all(isinstance(row, dict) and finite(row.get("step")) for row in rows)
    whole = list(map(with_present_names, rows)) if rows and is_whole and rows[-1].get("finished") else []
    return FinishedFile(whole, seals if isinstance(seals, Mapping) else {})


def _read_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """JSON objects of a file, each with the number of its line from 0; lines that hold none are passed over."""
    objects = []
    text = path.read_bytes().decode("utf-8", errors="replace") if path.is_file() else ""
    # splitlines() would also split at the odd separators that responses contain
    for number, line in enumerate(text.split("\n")):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # of garbage, of lists within lists
            continue
        if isinstance(row, dict):
            objects.append((number, row))
    return objects


def read_responses(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The lines of a responses.jsonl; a reward that is no finite number is NaN, whatever its file has for it."""
    return [
        (number, {name: math.nan if name in REWARDS and not finite(value) else value for name, value in line.items()})
        for number, line in _read_lines(path)
    ]


def read_attempts(path: Path) -> list[dict[str, Any]]:
    """The attempts at a trial that ran out of memory; none where the file is missing, cut or something else."""
    content = _parsed(path / OUT_OF_MEMORY_FILE)
    attempts = content if isinstance(content, list) else []
    return [with_present_names(attempt) for attempt in attempts if isinstance(attempt, dict)]


def general_losses_of(losses: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Of each window of general text the last loss and the base model's; none where one of the two is not there.

    Args:
        losses: what window_losses.json holds.
    """
    last, base = (losses_by_window(losses, name) for name in ("general_loss", GENERAL_LOSS_BASE))
    return list(zip(last, base, strict=True)) if len(last) == len(base) else []


def losses_by_window(losses: Mapping[str, Any], name: str) -> list[float]:
    """The losses of this name by window; none where they are missing or something else."""
    found = losses.get(name)
    return found if isinstance(found, list) and all(map(finite, found)) else []


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML or JSON file as a mapping; empty where it is missing, cut or something else."""
    content = _parsed(path)
    return content if isinstance(content, dict) else {}


def _parsed(path: Path) -> object:
    """The content of a YAML or JSON file; None where it is missing or cut."""
    try:
        text = path.read_bytes().decode("utf-8")
        # YAML 1.1 takes JSON's 1e-05 for a text, so each format has its own reader.
        parsed: object = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    return parsed
