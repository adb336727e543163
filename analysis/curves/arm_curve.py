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
    curves = []
    for arm, own in summary.groupby("arm", sort=False):
        shown = thinned(own.sort_values("step"), most_points)
        columns_of = {name: shown[name].tolist() for name in ArmCurve._fields if name not in ("arm", "step", "seeds")}
        steps, seeds = ([int(value) for value in shown[name]] for name in ("step", "seeds"))
        curves.append(ArmCurve(arm=str(arm), step=steps, seeds=seeds, **columns_of))
    return curves


def thinned(points: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows of a frame: every second, fourth, eighth ... of them, and its last.

    A frame that grows keeps its rows until it has doubled, so that a live page is sent the new ones alone.
    """
    every = 1
    while -(-len(points) // every) >= most and every < len(points):
        every *= 2
    last = len(points) - 1
    return points.iloc[[*range(0, last, every), last]] if every > 1 else points
