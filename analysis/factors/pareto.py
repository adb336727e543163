"""Quality against what it costs: which arms another arm dominates, and what a unit of quality takes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.compare import windows
from analysis.comparison.statistics import Interval, mean_interval
from analysis.results.company import RAN_ALONE
from analysis.results.load import Results
from analysis.tables.columns import GIB, MIB, MISSING, show_interval, show_number
from basis.metrics import DEVICE, METRIC, PEAK_SOURCE
from basis.outcomes import Outcome

QUALITY_UNIT = 0.1
"""Nats/token: the gain in loss that a price is for."""


class Price(NamedTuple):
    """A cost that arms are compared by: its metric, its name, and the text field that has to agree."""

    metric: str
    name: str
    comparable: str


TIME = "train_seconds"
PRICES = (Price("peak_bytes", "peak memory", PEAK_SOURCE), Price(TIME, "training time", DEVICE))

EXACT_COSTS = ("peak_bytes",)
"""Costs that are counted and do not vary from run to run."""


class Unit(NamedTuple):
    """A unit to print in: its name and what it is of the metric's own unit."""

    name: str
    size: float


class Point(NamedTuple):
    """An arm in a plot of loss against a cost.

    Attributes:
        arm: the arm.
        cost: in the metric's unit, see `cost_of`.
        loss: mean last test loss over the seeds, in nats/token.
        dominated: whether another arm is at least as good in both and better in one.
    """

    arm: Arm
    cost: float
    loss: float
    dominated: bool


class Cost(NamedTuple):
    """What an arm took, and what it gained.

    Attributes:
        arm: the arm.
        gain: loss of the base model minus the last loss, in nats/token, with a t interval over the seeds.
        peak_bytes: see `cost_of`.
        seconds: see `cost_of`; NaN where training times say nothing, see `why_no_times`.
    """

    arm: Arm
    gain: Interval
    peak_bytes: float
    seconds: float

    def per_unit(self, amount: float) -> float:
        """That amount for each QUALITY_UNIT gained; NaN where nothing was gained."""
        return amount / self.gain.estimate * QUALITY_UNIT if self.gain.estimate > 0 else math.nan


def dominated(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which points another point dominates: at least as low in both coordinates and lower in one.

    Args:
        points: cost and loss of each arm.

    Returns:
        One truth value per point.
    """
    lowest, lost = math.inf, set()
    for point in sorted(set(points)):  # whatever dominates a point comes before it
        if lowest <= point[1]:
            lost.add(point)
        lowest = min(lowest, point[1])
    return [point in lost for point in points]


def plane(arms: list[Arm], price: Price) -> list[Point]:
    """The arms by cost and loss, cheapest first.

    Args:
        arms: all arms; those without a finished trial, a test loss or this cost are left out.
        price: the cost.

    Returns:
        The points; none where costs or losses were measured in different ways, so that they do not compare, and none
        of training times that neighbours had a part in.
    """
    shown = [
        arm
        for arm in arms
        if arm.outcome == Outcome.FINISHED and arm.values("test_loss") and math.isfinite(cost_of(arm, price.metric))
    ]
    if len({windows(arm) for arm in shown}) > 1 or len(sources(shown, price)) > 1:
        return []
    if price.metric == TIME and why_no_times(shown):
        return []
    values = [(cost_of(arm, price.metric), arm.mean("test_loss").estimate) for arm in shown]
    points = [Point(arm, *both, lost) for arm, both, lost in zip(shown, values, dominated(values), strict=True)]
    return sorted(points, key=lambda point: (point.cost, point.loss))


def cost_of(arm: Arm, metric: str) -> float:
    """The largest peak over the seeds in bytes, as in every table, or the mean training time in seconds."""
    return arm.largest(metric) if metric == "peak_bytes" else arm.mean(metric).estimate


def why_no_times(arms: Sequence[Arm]) -> str:
    """Why nothing can be said of the training times of these arms; empty where they stand.

    A trial that shares a processor or a GPU with others takes longer, by how much depends on what they do.
    """
    alone = [value for arm in arms for value in arm.used.get(RAN_ALONE, [None])]
    if all(value == True for value in alone):  # noqa: E712  # what pandas makes of a truth value is not True itself
        return ""
    if any(value == False for value in alone):  # noqa: E712
        return (
            "Training times, and prices in them, are left out: trials ran side by side on one device, so that a time "
            "says as much of a trial's neighbours as of itself. Trials run alone on a device that each has to itself: "
            "resources.cpu of all its CPUs, or resources.gpu of 1."
        )
    return "Training times, and prices in them, are left out: whether trials ran side by side is not on record."


def gained_loss(results: Results, arms: list[Arm]) -> str | None:
    """The loss that gains are told in: the first that some finished arm has at step 0, before training, and after it.

    Args:
        results: its curves hold the loss of the base model, at step 0.
        arms: all arms.

    Returns:
        "test_loss", or "validation_loss" where test windows are used only after training; None without either.
    """
    return next((metric for metric in ("test_loss", "validation_loss") if costs(results, arms, metric)), None)


def costs(results: Results, arms: list[Arm], metric: str) -> list[Cost]:
    """What each finished arm took and gained, the largest gain first.

    Args:
        results: its curves hold the loss of the base model, at step 0.
        arms: all arms.
        metric: the loss that is gained, see `gained_loss`.

    Returns:
        One value per finished arm that has this loss at step 0 and after training.
    """
    if not {"step", metric} <= set(results.curves.columns):
        return []
    no_times = why_no_times([arm for arm in arms if arm.outcome == Outcome.FINISHED])
    begun = results.curves[results.curves["step"] == 0].dropna(subset=[metric])
    starts = dict(zip(begun["trial"], begun[metric], strict=True))
    found = []
    for arm in arms:
        if arm.outcome != Outcome.FINISHED or metric not in arm.used:
            continue
        ends = zip(arm.used["trial"], arm.used[metric], strict=True)
        gains = [float(starts[trial] - end) for trial, end in ends if trial in starts and end == end]
        if gains:
            gain = mean_interval(gains)
            seconds = math.nan if no_times else cost_of(arm, TIME)
            found.append(Cost(arm, gain, cost_of(arm, "peak_bytes"), seconds))
    return sorted(found, key=lambda cost: -cost.gain.estimate)


def show_costs(made: list[Cost], metric: str) -> pd.DataFrame:
    """The costs as printable strings, one row per arm; columns without any value are left out.

    Args:
        made: what `costs` returned.
        metric: the loss that is gained.
    """
    memory, time, priced = units(made)
    both = f"{memory.name}·{priced.name}"
    per = f"per {QUALITY_UNIT} {METRIC[metric].unit}"
    lost = {price.name: {p.arm.label for p in plane([c.arm for c in made], price) if p.dominated} for price in PRICES}
    rows = []
    for cost in made:
        space = cost.peak_bytes / memory.size
        where = [name for name, labels in lost.items() if cost.arm.label in labels]
        rows.append(
            {
                "arm": cost.arm.label,
                f"{metric.replace('_', ' ')} gained, {METRIC[metric].unit}": show_interval(cost.gain, 4),
                f"peak memory, {memory.name}": show_amount(space),
                f"training time, {time.name}": show_amount(cost.seconds / time.size),
                f"{memory.name} {per}": show_amount(cost.per_unit(space)),
                f"{priced.name} {per}": show_amount(cost.per_unit(cost.seconds) / priced.size),
                f"{both} {per}": show_amount(cost.per_unit(space * cost.seconds) / priced.size),
                "dominated in": " and ".join(where) or MISSING,
            }
        )
    frame = pd.DataFrame(rows, dtype=str)
    return frame.loc[:, [name == "dominated in" or (frame[name] != MISSING).any() for name in frame]]


def units(made: list[Cost]) -> tuple[Unit, Unit, Unit]:
    """The units of memory, of training time, and of time per QUALITY_UNIT that suit the largest costs."""
    return (
        unit_for("peak_bytes", _largest([cost.peak_bytes for cost in made])),
        unit_for("train_seconds", _largest([cost.seconds for cost in made])),
        unit_for("train_seconds", _largest([cost.per_unit(cost.seconds) for cost in made])),
    )


def _largest(values: list[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=0.0)


def unit_for(metric: str, largest: float) -> Unit:
    """The unit in which costs up to `largest` bytes or seconds are read most easily."""
    if metric == "peak_bytes":
        return Unit("GiB", GIB) if largest >= GIB else Unit("MiB", MIB)
    return next((Unit(name, size) for name, size in (("h", 3600), ("min", 60)) if largest >= 2 * size), Unit("s", 1))


def show_amount(value: float) -> str:
    """A positive number with three significant digits and thousands separators, or a dash where there is none."""
    digits = 2 - math.floor(math.log10(value)) if math.isfinite(value) and value > 0 else 2
    return show_number(value, max(0, digits))


def sources(arms: list[Arm], price: Price) -> set[str]:
    """By what this cost of the arms was measured: the devices, or what counted the memory."""
    names = (set(arm.used[price.comparable].dropna()) for arm in arms if price.comparable in arm.used)
    return set().union(*names)
