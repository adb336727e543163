"""The page of one trial: its config, its curve, its log, its samples, and why it failed."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.curves.arm_curve import ArmCurve, arm_curves
from analysis.results.outcomes import finite
from basis.directory import OUTCOME_FILE, PARAMS_FILE, RAY_LOG_FILE, RESPONSES_FILE, RESULT_FILE, WORKER_FILE
from basis.units import show_decimals
from sweep.live.known.experiment import Experiment
from sweep.live.known.folder import text_within, trial_folder
from sweep.live.known.growing_curves import DRAWN
from sweep.live.known.parts import Parts
from sweep.live.privacy import without_machine
from sweep.live.views.experiment_view import machine_names, render, shown_answers, trial_view
from sweep.progress.progress import State

ERROR_FILE = "error.txt"
MOST_LINES = 400
"""Of a log; its last ones."""
MOST_SAMPLES = 50
WIDTH, HEIGHT = 640, 160
"""Of a curve, in the units of its drawing."""


@dataclass(frozen=True)
class Line:
    """A curve of a trial, drawn: the points of a polyline, and what stands at its ends."""

    metric: str
    points: str
    first: str
    last: str
    steps: int


def set_trial_parts(parts: Parts, experiment: Experiment, trial: str) -> None:
    """Bring the pieces of a trial's page up to date; the experiment has been looked at a moment ago."""
    folder = trial_folder(experiment.directory, trial)
    known, progress = experiment.progress.trials.get(trial), experiment.progress
    rows = experiment.curves.trial_rows(trial)
    config = _object(folder, PARAMS_FILE) or (known.config if known else {})
    view = trial_view(known, progress, machine_names(progress.trials.values())) if known else None
    outcome = _object(folder, OUTCOME_FILE)
    outcome = {name: without_machine(str(outcome.get(name) or "")) for name in ("outcome", "reason")} if outcome else {}
    logs = {name: _last_lines(folder, name) for name in (ERROR_FILE, WORKER_FILE)}
    logs[RAY_LOG_FILE] = "\n".join(
        line for line in _last_lines(experiment.directory, RAY_LOG_FILE).split("\n") if trial in line
    )
    runs = known is not None and known.state == State.RUNNING and experiment.state.moves
    lines = _lines(rows if len(rows) else _kept_rows(folder, trial))
    parts.set_all(
        {
            "trial-state": render(
                "trial_state", trial=view, outcome=outcome, there=folder is not None, runs=runs, name=trial
            ),
            "trial-curves": render("trial_curves", lines=lines, width=WIDTH, height=HEIGHT),
            "trial-ask": render("trial_ask", name=trial, fields=sorted(config), moves=experiment.state.moves),
            "live-answers": render("answers", answers=shown_answers(experiment, trial)),
            "trial-config": render("trial_config", config=_shown(config)),
            "trial-logs": render("trial_logs", logs={name: text for name, text in logs.items() if text.strip()}),
            "trial-samples": render("trial_samples", samples=_samples(folder)),
        }
    )


def _object(folder: Path | None, name: str) -> dict[str, Any]:
    """The JSON object of a file; empty where there is none."""
    try:
        value = json.loads(text_within(folder, name)) if folder else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _objects(folder: Path | None, name: str) -> list[dict[str, Any]]:
    """The JSON objects of a file's lines, as far as they are whole."""
    objects = []
    for line in text_within(folder, name, end=False).split("\n") if folder else []:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            objects.append(value)
    return objects


def _last_lines(folder: Path | None, name: str) -> str:
    lines = text_within(folder, name).rstrip().split("\n") if folder else []
    return without_machine("\n".join(lines[-MOST_LINES:]))


def _shown(config: dict[str, Any]) -> dict[str, str]:
    """The fields of a config as text, without what a search chose them by."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in sorted(config.items())
        if not isinstance(value, dict)
    }


def _samples(folder: Path | None) -> list[dict[str, str]]:
    """The first prompts with what the trial and the base model answered, and their scores."""
    samples = []
    for line in _objects(folder, RESPONSES_FILE)[:MOST_SAMPLES]:
        scores = {name: f"{line[name]:+.2f}" if finite(line.get(name)) else "" for name in ("reward", "base_reward")}
        texts = {name: str(line.get(name) or "") for name in ("prompt", "response", "base_response")}
        samples.append({**texts, **scores})
    return samples


def _kept_rows(folder: Path | None, trial: str) -> pd.DataFrame:
    """The rows that a trial's own file has, where no events tell them."""
    kept = [row for row in _objects(folder, RESULT_FILE) if finite(row.get("step"))]
    return pd.DataFrame([{name: row.get(name) for name in ("step", *DRAWN)} for row in kept]).assign(arm=trial)


def _lines(rows: pd.DataFrame) -> list[Line]:
    curves = [(metric, curve) for metric in DRAWN if "step" in rows for curve in arm_curves(rows, metric)]
    return [_line(metric, curve) for metric, curve in curves]


def _line(metric: str, curve: ArmCurve) -> Line:
    low, high = min(curve.mean), max(curve.mean)
    across, up = max(1, curve.step[-1]), (high - low) or math.inf
    points = " ".join(
        f"{WIDTH * step / across:.1f},{HEIGHT * (high - value) / up:.1f}"
        for step, value in zip(curve.step, curve.mean, strict=True)
    )
    return Line(
        metric.replace("_", " "), points, show_decimals(curve.mean[0]), show_decimals(curve.mean[-1]), curve.step[-1]
    )
