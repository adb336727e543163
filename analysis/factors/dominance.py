"""Which arms another arm dominates beyond chance: it takes no more, and the tests find its test loss lower."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from analysis.comparison.arms import Arm
from analysis.comparison.fields import windows
from analysis.comparison.told_apart import loss_difference
from analysis.factors.pareto import EXACT_COSTS, Front, Point, Price
from analysis.statistics.difference_tests import mean_test
from analysis.statistics.multiple_tests import ALPHA
from analysis.wording.phrases import count, join


class Dominance(NamedTuple):
    """Arms that are dominated beyond chance.

    Attributes:
        dominators: by the label of each, in the order of the points, the arm that dominates it.
        pairs: pairs that p-values were adjusted for, those that could have come to be tested among them; 0 where no
            test could be made.
        over_seeds: whether all tests take in the choice of seeds, without which they speak of trained models alone.
    """

    dominators: dict[str, str]
    pairs: int
    over_seeds: bool

    @property
    def labels(self) -> list[str]:
        """Labels of the dominated arms, in the order of the points."""
        return list(self.dominators)


def dominated_beyond_chance(points: Sequence[Point], price: Price, looks: int) -> Dominance:
    """Test which arms are dominated.

    Each arm is held against the one of lowest mean test loss among those that are tested on the same rows of text and
    take no more, by the test that two arms get. Any pair on the same rows could have come to be tested so, and the
    adjustment (Bonferroni's) counts them all. Where the cost varies from run to run, as time does, it has to be lower
    beyond chance too, over common seeds.

    Args:
        points: arms by cost and loss, cheapest first.
        price: the cost.
        looks: see `choices.looks_at`.
    """
    on_rows = Counter(windows(point.arm) for point in points)
    pairs = sum(arms * (arms - 1) // 2 for arms in on_rows.values())
    losses = {point.arm.label: point.arm.losses_by_seed for point in points}
    dominators: dict[str, str] = {}
    scopes: set[bool] = set()
    lowest_on: dict[tuple[object, ...], Point] = {}
    for _, alike in groupby(points, key=lambda point: point.cost):
        members = list(alike)
        for point in members:
            rows = windows(point.arm)
            lowest_on[rows] = min(lowest_on.get(rows, point), point, key=lambda point: point.loss)
        for point in members:
            lowest = lowest_on[windows(point.arm)]
            if point is lowest or not (test := loss_difference(losses[lowest.arm.label], losses[point.arm.label])):
                continue
            scopes.add(test.over_seeds)
            p_values = (test.test.p_value, cost_p_value(lowest.arm, point.arm, price))
            if test.test.estimate < 0 and all(p_value * pairs * looks < ALPHA for p_value in p_values):
                dominators[point.arm.label] = lowest.arm.label
    return Dominance(dominators, pairs if scopes else 0, False not in scopes)


def cost_p_value(a: Arm, b: Arm, price: Price) -> float:
    """p-value of "they cost the same": 0 for what is counted exactly, NaN where it cannot be tested."""
    if price.metric in EXACT_COSTS:
        return 0.0
    mine, others = a.by_seed(price.metric), b.by_seed(price.metric)
    differences = [mine[seed] - others[seed] for seed in mine if seed in others]
    return mean_test(differences).p_value if differences else math.nan


def describe_fronts(fronts: Sequence[Front], looks: int) -> list[str]:
    """Which arms are dominated: those that the tests tell, and how many more are by their means alone."""
    sentences = []
    for price, points, _ in fronts:
        if not any(point.dominated for point in points):
            continue
        told = dominated_beyond_chance(points, price, looks)
        by_means = [point.arm.label for point in points if point.dominated and point.arm.label not in told.dominators]
        named = f"dominated beyond chance: {join(told.labels)}" if told.labels else "told to be dominated"
        number = f"{len(told.labels)} of {len(points)} arms {'is' if len(told.labels) == 1 else 'are'}"
        number = number if told.labels else "no arm is"
        scope = "" if told.over_seeds else ", as far as these trained models go"
        more = f"; by means alone {len(by_means)} {'more ' if told.labels else ''}would be" if by_means else ""
        remains = join([point.arm.label for point in points if not point.dominated])
        how = f"tests of two arms, Bonferroni-adjusted for {count(told.pairs, 'pair')}" if told.pairs else "untested"
        sentences.append(
            f"In test loss against {price.name}, {number} {named}{scope}{more} ({how}). "
            f"The front of the means: {remains}."
        )
    return sentences
