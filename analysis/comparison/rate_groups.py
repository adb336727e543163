"""Learning rates that were tried of one thing, by arms or by tuning trials, with the loss of each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.comparison.arms import Arm
from analysis.results.arm_labels import REPLICATE_FIELD, labels_of
from analysis.statistics.intervals import Interval
from basis.fields import arm_label
from basis.outcomes import Outcome

UNTRIED = (Outcome.NOT_STARTED, Outcome.REPEATED)
APART = (REPLICATE_FIELD, "lr", "evaluate_on")
"""Fields in which members of a group may differ."""


@dataclass(frozen=True)
class Tried:
    """A learning rate that was tried: by an arm, or by a tuning trial.

    Attributes:
        name: of the arm or the trial.
        rate: the learning rate.
        loss: its last loss; NaN where it has none, as after divergence.
        outcome: what became of it.
        seeds: how many trials its loss is the mean of.
    """

    name: str
    rate: float
    loss: Interval
    outcome: str
    seeds: int


@dataclass(frozen=True)
class RateGroup:
    """Learning rates that were tried of one thing.

    Attributes:
        label: what was tried.
        config: of its members, without their rates.
        tried: by ascending rate.
        best: that of the lowest loss.
        alone: whether its members differ in their learning rate alone.
    """

    label: str
    config: Mapping[str, Any]
    tried: list[Tried]
    best: Tried
    alone: bool


def rate_groups(members: Sequence[Arm], metric: str) -> list[RateGroup]:
    """Group arms that differ in their learning rate alone; without such, as after a random search, by short name.

    Args:
        members: arms, or tuning trials.
        metric: of the loss.

    Returns:
        The groups in which two rates or more were tried and one finished, in the order of their members.
    """
    rated = [
        arm
        for arm in members
        if isinstance(arm.config.get("lr"), (int, float)) and "method" in arm.config and arm.outcome not in UNTRIED
    ]
    configs = [{name: value for name, value in arm.config.items() if name not in APART} for arm in rated]
    return _grouped(rated, configs, labels_of(configs), metric, alone=True) or _grouped(
        rated, configs, [arm_label(config) for config in configs], metric, alone=False
    )


def _grouped(
    members: Sequence[Arm], configs: Sequence[Mapping[str, Any]], labels: Sequence[str], metric: str, alone: bool
) -> list[RateGroup]:
    tried: dict[str, list[Tried]] = {}
    for arm, label in zip(members, labels, strict=True):
        loss = arm.mean(metric) if arm.outcome == Outcome.FINISHED else Interval(math.nan, math.nan, math.nan)
        tried.setdefault(label, []).append(Tried(arm.label, float(arm.config["lr"]), loss, arm.outcome, len(arm.used)))
    config_of = dict(zip(labels, configs, strict=True))
    groups = []
    for label, own in tried.items():
        done = [one for one in own if math.isfinite(one.loss.estimate)]
        if len({one.rate for one in own}) > 1 and done:
            best = min(done, key=lambda one: one.loss.estimate)
            groups.append(RateGroup(label, config_of[label], sorted(own, key=lambda one: one.rate), best, alone))
    return groups
