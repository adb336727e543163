"""Forgetting: how far the loss on general text lies above the base model's after training, and a test against none."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analysis.comparison.arms import Arm
from analysis.comparison.fields import general_windows
from analysis.comparison.told_apart import LossDifference, SeedLosses, loss_difference
from analysis.statistics.intervals import Interval, Values
from analysis.statistics.multiple_tests import ALPHA, holm


class Forgetting(NamedTuple):
    """What an arm forgets.

    Attributes:
        arm: the arm.
        rise: last loss on general text minus the base model's, in nats/token, with its 95 % interval.
        difference: the test that both come from, its p-value adjusted for the arms of the table; None where nothing
            permits one.
    """

    arm: Arm
    rise: Interval
    difference: LossDifference | None

    @property
    def p_value(self) -> float:
        """The adjusted p-value of "it is zero"; NaN without a test."""
        return self.difference.test.p_value if self.difference else math.nan

    @property
    def told(self) -> bool:
        """Whether the test tells the rise, or fall, from none."""
        return self.p_value < ALPHA


def measure_forgetting(arms: Sequence[Arm], looks: int) -> list[Forgetting]:
    """Test for each arm whether it forgets: trained and base model are two "arms" on the same windows and seeds.

    Args:
        arms: finished arms of one table.
        looks: see `choices.looks_at`.

    Returns:
        One value per arm whose trials measured it, p-values adjusted by Holm's method.
    """
    measured = [(arm, *_losses(arm)) for arm in arms if arm.values("forgetting")]
    differences = [loss_difference(last, base) for _, last, base in measured]
    p_values = iter(holm([difference.test.p_value for difference in differences if difference], looks))
    forgotten = []
    for (arm, _, _), difference in zip(measured, differences, strict=True):
        if difference is None:
            mean = arm.mean("forgetting").estimate
            forgotten.append(Forgetting(arm, Interval(mean, math.nan, math.nan), None))
            continue
        adjusted = difference._replace(test=difference.test._replace(p_value=next(p_values)))
        forgotten.append(Forgetting(arm, Interval(*difference.test[:3]), adjusted))
    return forgotten


def from_one_base(arms: Sequence[Arm]) -> list[SeedLosses]:
    """Losses on general text as they would be, had every arm risen from the same losses of the base model.

    A base model's losses differ between its arms where these compute otherwise, as in another precision. Differences
    of what is returned are those of forgetting. They stay losses, so that rounding is judged by the size of a loss.

    Args:
        arms: arms of one table.

    Returns:
        The losses of each arm by seed, (K,) of its windows in nats/token. The base is that of the first arm tested on
        the same windows.
    """
    bases: dict[tuple[object, ...], Values] = {}
    moved: list[SeedLosses] = []
    for arm in arms:
        losses = {}
        for seed, last in arm.general_losses.items():
            own = arm.base_general_losses[seed]
            losses[seed] = last + (bases.setdefault((*general_windows(arm), len(own)), own) - own)
        moved.append(losses)
    return moved


def _losses(arm: Arm) -> tuple[SeedLosses, SeedLosses]:
    """Losses on general text by seed, of the arm and of the base model: by window, or the mean of those not kept."""
    last, rises = arm.by_seed("general_loss"), arm.by_seed("forgetting")
    means = {seed: (np.array([last[seed]]), np.array([last[seed] - rise])) for seed, rise in rises.items()}
    by_seed = {
        seed: (arm.general_losses[seed], arm.base_general_losses[seed]) if seed in arm.general_losses else mean
        for seed, mean in means.items()
    }
    return {seed: losses for seed, (losses, _) in by_seed.items()}, {seed: base for seed, (_, base) in by_seed.items()}
