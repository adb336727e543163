"""Whether test loss rose again after its best: the lowest of several evaluations lies below the last by chance, too."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.loss_metric import in_unit, metric_of
from analysis.statistics.difference_tests import Test, mean_test
from analysis.statistics.intervals import Interval, Values
from analysis.statistics.multiple_tests import ALPHA, holm
from analysis.tables.columns import show_best_steps
from analysis.wording.numbers import show_interval, show_number, show_p
from analysis.wording.phrases import count, holm_adjusted


class Rise(NamedTuple):
    """How far the last test loss of an arm lies above its best.

    Attributes:
        arm: the arm.
        size: mean last loss minus mean lowest loss, in the unit that the arms are compared in.
        evaluations: how many evaluations the lowest one is of.
        test: of a rise that chance does not explain; None with one seed.
    """

    arm: Arm
    size: float
    evaluations: int
    test: Test | None

    @property
    def told(self) -> bool:
        """Whether the test tells the rise from none."""
        return self.test is not None and self.test.estimate > 0 and self.test.p_value < ALPHA


def rise_test(losses: Values) -> Test:
    """Test over seeds whether test loss rose again after the step of its lowest mean.

    Args:
        losses: (seeds, evaluations) in the order of the steps, two of each at least.

    Returns:
        Last loss minus the loss at that step, with the interval and p-value of the paired t test. Any other evaluation
        could have been the lowest, so the p-value is multiplied by their number (Bonferroni).
    """
    test = mean_test(losses[:, -1] - losses[:, losses.mean(axis=0).argmin()])
    return test._replace(p_value=min(1.0, test.p_value * (losses.shape[1] - 1)))


def describe_rises(arms: Sequence[Arm], curves: pd.DataFrame, looks: int) -> list[str]:
    """Say in which arms test loss rose again after its best, and whether chance explains it.

    Args:
        arms: finished arms of one table.
        curves: rows of all trials, see `Results.curves`.
        looks: see `choices.looks_at`.

    Returns:
        One sentence or two; none where every arm ends at its lowest loss.
    """
    known = sorted((arm for arm in arms if arm.has_test_loss), key=lambda arm: arm.test_loss.estimate)
    of_trial = _by_trial(curves, metric_of(arms))
    judged = _adjusted([rise for arm in known if (rise := _rise(arm, of_trial))], looks)
    risen = [rise for rise in judged if rise.size > 0]
    if not risen:
        return []
    most = max(risen, key=lambda rise: (rise.told, rise.size))
    share = f"in {len(risen)} of {len(known)} arms, most in " if len(known) > 1 else "in "
    path = (
        f"from {show_number(most.arm.best_test_loss.estimate)} (step {show_best_steps(most.arm)}) to "
        f"{show_number(most.arm.test_loss.estimate)}, by {show_number(most.size)}; its last train loss is "
        f"{show_number(most.arm.mean('train_loss').estimate)}"
    )
    what = "rose again after its best" if most.told else "ends above the lowest of its evaluations"
    first = f"Test loss{in_unit(arms)} {what} {share}{most.arm.label}: {path}."
    return [f"{first} {_judged(judged, looks)}"]


def _judged(judged: Sequence[Rise], looks: int) -> str:
    """What chance has to do with the rises, or with none."""
    tested = [rise for rise in judged if rise.test]
    if not tested:
        lowest = f"The lowest of {count(max(rise.evaluations for rise in judged), 'evaluation')}"
        return f"{lowest} lies below the last by chance too, and one seed cannot tell."
    evaluations = max(rise.evaluations for rise in tested)
    how = (
        f"paired t test over seeds, for these test windows; each p-value multiplied by the up to {evaluations - 1} "
        f"evaluations before the last; {holm_adjusted(len(tested), 'arm', looks)}"
    )
    told = [
        f"{rise.arm.label} by {show_interval(Interval(*rise.test[:3]), 4)}, {show_p(rise.test.p_value)}"
        for rise in tested
        if rise.told and rise.test
    ]
    if told:
        return f"Beyond chance it rose in {'; '.join(told)} ({how})."
    return f"In none is that more than chance ({how})."


def _adjusted(rises: list[Rise], looks: int) -> list[Rise]:
    p_values = holm([rise.test.p_value if rise.test else float("nan") for rise in rises], looks)
    return [
        rise._replace(test=rise.test._replace(p_value=p_value)) if rise.test else rise
        for rise, p_value in zip(rises, p_values, strict=True)
    ]


def _rise(arm: Arm, curves: Mapping[str, Mapping[int, float]]) -> Rise | None:
    size = arm.test_loss.estimate - arm.best_test_loss.estimate
    own = [curves[trial] for trial in arm.used["trial"] if trial in curves]
    if not own or not arm.values("test_loss_best_step"):
        return None
    steps = sorted(set.intersection(*map(set, own)))
    losses = np.array([[curve[step] for step in steps] for curve in own])
    tested = len(own) > 1 and len(steps) > 1
    return Rise(arm, size, len(steps), rise_test(losses) if tested else None)


def _by_trial(curves: pd.DataFrame, metric: str) -> dict[str, dict[int, float]]:
    """Test losses of this metric by trial and step."""
    names = ["trial", "step", metric]
    known = curves[names].dropna() if metric in curves else pd.DataFrame(columns=names)
    losses: dict[str, dict[int, float]] = {}
    for trial, step, loss in zip(*(known[name].tolist() for name in names), strict=True):
        losses.setdefault(trial, {})[step] = loss
    return losses
