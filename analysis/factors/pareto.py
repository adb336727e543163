"""Quality against what it costs: which arms another arm dominates, and what a unit of quality takes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from analysis.comparison.arms import Arm
from analysis.comparison.loss_metric import by_text, metric_of
from analysis.results.company import RAN_ALONE
from analysis.results.experiment import Results
from analysis.statistics.intervals import Interval, mean_interval
from analysis.wording.numbers import GIB, MIB
from basis.metrics import DEVICE
from basis.outcomes import Outcome

QUALITY_UNIT = 0.1
"""Nats/token, or bits/byte: the gain in loss that a price is for."""


class Price(NamedTuple):
    """A cost that arms are compared by: its metric and its name."""

    metric: str
    name: str


TIME = "train_seconds"
PRICES = (Price("peak_bytes", "peak memory"), Price(TIME, "training time"))

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
        loss: mean last test loss over the seeds, in the unit that the arms are compared in.
        dominated: whether another arm is at least as good in both and better in one.
    """

    arm: Arm
    cost: float
    loss: float
    dominated: bool


class Front(NamedTuple):
    """The arms of a sweep by one cost and their losses.

    Attributes:
        price: the cost.
        points: the arms, cheapest first; none where they do not compare.
        unit: in which the costs are read most easily.
    """

    price: Price
    points: list[Point]
    unit: Unit

    @property
    def dominated(self) -> set[str]:
        """Labels of the arms that another arm dominates."""
        return {point.arm.label for point in self.points if point.dominated}


class Cost(NamedTuple):
    """What an arm took, and what it gained.

    Attributes:
        arm: the arm.
        gain: loss of the base model minus the last loss, in the unit of the metric, with a t interval over the seeds.
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


def fronts_of(arms: list[Arm]) -> list[Front]:
    """The front of each cost in PRICES; see `plane`."""
    planes = [(price, plane(arms, price)) for price in PRICES]
    return [
        Front(price, points, unit_for(price.metric, max((point.cost for point in points), default=0.0)))
        for price, points in planes
    ]


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
        if arm.outcome == Outcome.FINISHED and arm.has_test_loss and math.isfinite(cost_of(arm, price.metric))
    ]
    if len({arm.window_values for arm in shown}) != 1 or len(sources(shown, price)) > 1:
        return []
    if price.metric == TIME and why_no_times(shown):
        return []
    values = [(cost_of(arm, price.metric), arm.test_loss.estimate) for arm in shown]
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


def gained_costs(results: Results, arms: list[Arm]) -> tuple[str | None, list[Cost]]:
    """The loss that gains are told in, and what the arms took for it.

    Args:
        results: its curves hold the loss of the base model, at step 0.
        arms: all arms.

    Returns:
        The first loss that some finished arm has at step 0, before training, and after it: the test loss that the
        arms are compared by, or "validation_loss" where test windows are used only after training, unless it is of
        several tokenizers; None without either. And its `costs`.
    """
    for metric in (metric_of(arms), *([] if by_text(arms) else ["validation_loss"])):
        if gained := costs(results, arms, metric):
            return metric, gained
    return None, []


def costs(results: Results, arms: list[Arm], metric: str) -> list[Cost]:
    """What each finished arm took and gained, the largest gain first.

    Args:
        results: its curves hold the loss of the base model, at step 0.
        arms: all arms.
        metric: the loss that is gained, see `gained_costs`.

    Returns:
        One value per finished arm that has this loss at step 0 and after training.
    """
    starts = losses_at_start(results, metric)
    if not starts:
        return []
    no_times = why_no_times([arm for arm in arms if arm.outcome == Outcome.FINISHED])
    found = []
    for arm in arms:
        if arm.outcome != Outcome.FINISHED or metric not in arm.used:
            continue
        ends = zip(arm.used["trial"], arm.used[metric], strict=True)
        gains = [starts[trial] - float(end) for trial, end in ends if trial in starts and end == end]
        if gains:
            gain = mean_interval(gains)
            seconds = math.nan if no_times else cost_of(arm, TIME)
            found.append(Cost(arm, gain, cost_of(arm, "peak_bytes"), seconds))
    return sorted(found, key=lambda cost: -cost.gain.estimate)


def losses_at_start(results: Results, metric: str) -> dict[str, float]:
    """The base model's loss by trial: this loss at step 0, where a trial has it."""
    if not {"step", metric} <= set(results.curves.columns):
        return {}
    begun = results.curves[results.curves["step"] == 0].dropna(subset=[metric])
    return dict(zip(begun["trial"], map(float, begun[metric]), strict=True))


def sources(arms: list[Arm], price: Price) -> set[str]:
    """By what this cost of the arms was measured: the devices, or what counted the memory; see `Arm.peak_sources`."""
    if price.metric == "peak_bytes":
        return {name for arm in arms for name in arm.peak_sources}
    return {name for arm in arms for name in arm.used.known(DEVICE)}


def unit_for(metric: str, largest: float) -> Unit:
    """The unit in which costs up to `largest` bytes or seconds are read most easily."""
    if metric == "peak_bytes":
        return Unit("GiB", GIB) if largest >= GIB else Unit("MiB", MIB)
    return next((Unit(name, size) for name, size in (("h", 3600), ("min", 60)) if largest >= 2 * size), Unit("s", 1))
