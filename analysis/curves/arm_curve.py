"""An arm's curve: a metric over the course of training, as the mean of its seeds with the band they lie in.

The report reads rows from an experiment directory, the live page from the events of a running sweep; both are
summarised here, so that they show the same curve.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

MOST_POINTS = 200
"""Points of a curve that is drawn; a figure some hundred pixels wide shows no more."""


class ArmCurve(NamedTuple):
    """A metric of one arm by optimizer step; all lists are of one length.

    Attributes:
        arm: its label.
        step: optimizer steps, ascending.
        tokens: train tokens seen, mean over the seeds; NaN where no row says.
        seconds: training time, likewise.
        mean: mean of the metric over the seeds that have it at this step.
        low: the lowest of those seeds.
        high: the highest.
        seeds: how many they are.
    """

    arm: str
    step: list[int]
    tokens: list[float]
    seconds: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    seeds: list[int]


def arm_curves(rows: pd.DataFrame, metric: str, most_points: int = MOST_POINTS) -> list[ArmCurve]:
    """The curves of all arms that have a metric.

    Args:
        rows: one per trial and report, with columns arm, trial, step and metrics, as `Results.curves` has them.
        metric: which; rows where it is no finite number are passed over, so a diverged trial's curve ends.
        most_points: of each curve; its first and last point are always among them.

    Returns:
        Curves in the order in which arms come in `rows`.
    """
    if metric not in rows:
        return []
    columns = {
        name: pd.to_numeric(rows[source], errors="coerce") if source in rows else np.nan
        for name, source in (("value", metric), ("tokens", "tokens_seen"), ("seconds", "train_seconds"))
    }
    known = pd.DataFrame({"arm": rows["arm"], "step": rows["step"], **columns})
    known = known[np.isfinite(known["value"])]
    by_step = known.groupby(["arm", "step"], sort=False)
    summary = by_step.agg(
        mean=("value", "mean"),
        low=("value", "min"),
        high=("value", "max"),
        seeds=("value", "size"),
        tokens=("tokens", "mean"),
        seconds=("seconds", "mean"),
    ).reset_index()
    codes, arms = pd.factorize(summary["arm"])
    summary = summary.iloc[np.lexsort([summary["step"], codes])]  # by arm, of an arm by step
    ends = np.cumsum(np.bincount(codes, minlength=len(arms))).tolist()
    values = {name: summary[name].tolist() for name in ArmCurve._fields if name != "arm"}
    curves = []
    for arm, begin, end in zip(arms, [0, *ends], ends, strict=False):
        places = [begin + place for place in _thinned_places(end - begin, most_points)]
        shown = {name: [column[place] for place in places] for name, column in values.items()}
        steps, seeds = ([int(value) for value in shown.pop(name)] for name in ("step", "seeds"))
        curves.append(ArmCurve(arm=str(arm), step=steps, seeds=seeds, **shown))
    return curves


def thinned(points: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows of a frame: every second, fourth, eighth ... of them, and its last.

    A frame that grows keeps its rows until it has doubled, so that a live page is sent the new ones alone.
    """
    return points.iloc[_thinned_places(len(points), most)]


def _thinned_places(count: int, most: int) -> list[int]:
    """Where the rows stand that `thinned` keeps of so many."""
    every = 1
    while -(-count // every) >= most and every < count:
        every *= 2
    return [*range(0, count - 1, every), count - 1] if every > 1 else list(range(count))
