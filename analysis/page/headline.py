"""One line on a sweep: how many trials finished, of which model, on which data, when."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any

from analysis.results.experiment import Results
from analysis.wording.phrases import count
from basis.outcomes import Outcome


def headline_of(results: Results) -> list[str]:
    """The sweep in a few words each; what is not on record is left out.

    Args:
        results: the directory's content.
    """
    trials, sweeps = results.trials, results.sweeps
    finished = int((trials["outcome"] == Outcome.FINISHED).sum())
    seeds = trials["seed"].dropna().nunique() if "seed" in trials else 0
    parts = [
        f"{finished:,} of {count(len(trials), 'trial')} finished",
        count(seeds, "seed") if seeds else "",
        f"{len(sweeps)} sweeps" if results.parts else "",
        *dict.fromkeys(_model(sweep.spec) for sweep in sweeps),
        *dict.fromkeys(_data(sweep.spec) for sweep in sweeps),
        *dict.fromkeys(_date(sweep.sweep.get("finished_at") or sweep.sweep.get("started_at")) for sweep in sweeps),
    ]
    return [part for part in parts if part]


def _model(spec: Mapping[str, Any]) -> str:
    """The base model by the last part of its name; several are counted."""
    model = spec.get("model")
    if isinstance(model, list):
        return count(len(model), "base model")
    name = model.get("name") if isinstance(model, Mapping) else model
    return f"model {PurePath(name).name}" if isinstance(name, str) and name else ""


def _data(spec: Mapping[str, Any]) -> str:
    """The train data by the last part of each name."""
    data = spec.get("data")
    train = data.get("train") if isinstance(data, Mapping) else None
    names = [PurePath(name).name for name in train if isinstance(name, str)] if isinstance(train, list) else []
    return f"data {', '.join(names)}" if names else ""


def _date(written: object) -> str:
    """A day, such as "27 Nov 2026"; empty where the record has none."""
    try:
        day = datetime.fromisoformat(str(written))
    except ValueError:
        return ""
    return f"{day.day} {day:%b %Y}"
