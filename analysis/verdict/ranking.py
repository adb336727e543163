"""The arms of a sweep from best to worst: those whose test losses compare, and what the tests say against the best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from analysis.comparison.arms import WINDOW_FIELDS, Arm
from analysis.comparison.comparisons import Comparison, Comparisons, adjusted, adjustment
from analysis.comparison.evidence import Evidence
from analysis.comparison.loss_metric import metric_of
from analysis.comparison.pair_tests import compare_test_losses, find_contenders
from analysis.factors.pareto import losses_at_start
from analysis.results.experiment import Results
from analysis.statistics.intervals import Interval
from analysis.tables.comparison_table import ComparisonTable
from analysis.wording.values import show_field
from basis.outcomes import Outcome

RUINED = 2.0
"""How many times the base model's loss an arm's must be, in every seed, to count as ruined by training."""


@dataclass(frozen=True)
class Ranking:
    """Arms whose test losses compare.

    Attributes:
        title: what they share and others do not; empty where the sweep has one ranking.
        ranked: the finished arms that have a test loss, best first.
        others: the other arms, in the order of their trials.
        compared: comparisons of `ranked` by test loss.
        ruined: the base model's loss by the label of each ranked arm that training has RUINED; empty where the best is.
            Their seeds differ so much that a t test between arms tells nothing.
    """

    title: str
    ranked: list[Arm]
    others: list[Arm]
    compared: Comparisons
    ruined: Mapping[str, float]

    @property
    def arms(self) -> list[Arm]:
        """All of its arms."""
        return [*self.ranked, *self.others]

    @cached_property
    def against_best(self) -> dict[str, Comparison]:
        """By label, an arm compared with the best one: its loss minus that of the best."""
        if not self.ranked:
            return {}
        best = self.ranked[0].label
        told = [pair for pair in self.compared.losses if best in (pair.a, pair.b)]
        return {pair.a: pair for pair in (pair.flipped if pair.a == best else pair for pair in told)}

    def gap(self, arm: Arm) -> Interval:
        """Loss of an arm minus that of the best, with the interval of their test where there is one."""
        if pair := self.against_best.get(arm.label):
            return pair.difference
        return Interval(arm.test_loss.estimate - self.ranked[0].test_loss.estimate, math.nan, math.nan)

    def worse(self, arm: Arm) -> bool | None:
        """Whether a test finds the loss of an arm above that of the best; None without a test that can."""
        pair = self.against_best.get(arm.label)
        is_told = pair.differs and pair.difference.estimate > 0 if pair and pair.tested else None
        return is_told or (None if arm.label in self.ruined else is_told)

    @cached_property
    def rivals(self) -> list[Arm]:
        """The arms that no test finds worse than the best, without it and `ruined`, lowest loss first."""
        return [arm for arm in self.ranked[1:] if not self.worse(arm) and arm.label not in self.ruined]


def rank_arms(evidence: Evidence, tables: Sequence[ComparisonTable]) -> list[Ranking]:
    """Rank the arms of a sweep by their mean last test loss.

    Args:
        evidence: what the sweep's report stands on.
        tables: its tables; the comparisons of one that holds the very arms of a ranking are not made again.

    Returns:
        A ranking for each kind of windows that arms are tested on; those without a finished arm come last.
    """
    groups: dict[tuple[object, ...], list[Arm]] = {}
    for arm in evidence.arms:
        groups.setdefault(arm.window_values, []).append(arm)
    rankings = []
    for values, arms in groups.items():
        known = [arm for arm in arms if arm.outcome == Outcome.FINISHED and arm.has_test_loss]
        ranked = sorted(known, key=lambda arm: arm.test_loss.estimate)
        labels = {arm.label for arm in ranked}
        shown = [f"{name} {show_field(value)}" for name, value in zip(WINDOW_FIELDS, values, strict=True)]
        rankings.append(
            Ranking(
                title=", ".join(shown) if len(groups) > 1 else "",
                ranked=ranked,
                others=[arm for arm in arms if arm.label not in labels],
                compared=_comparisons(known, tables, evidence.looks),
                ruined=_ruined(evidence.results, ranked),
            )
        )
    return sorted(rankings, key=lambda ranking: not ranking.ranked)


def _ruined(results: Results, ranked: list[Arm]) -> dict[str, float]:
    """See `Ranking.ruined`."""
    metric = metric_of(ranked)
    starts = losses_at_start(results, metric)
    ruined: dict[str, float] = {}
    for arm in ranked:
        ends = dict(zip(arm.used["trial"], arm.used[metric], strict=True))
        if all(trial in starts and end > RUINED * starts[trial] for trial, end in ends.items()):
            ruined[arm.label] = fmean(starts[trial] for trial in ends)
    return {} if ranked and ranked[0].label in ruined else ruined


def _comparisons(arms: list[Arm], tables: Sequence[ComparisonTable], looks: int) -> Comparisons:
    """The comparisons of these arms by test loss: those of a table that has no other arms, or new ones."""
    labels, metrics = {arm.label for arm in arms}, {arm.loss_metric for arm in arms}
    for table in tables:
        known = [arm for arm in table.finished if arm.has_test_loss]
        if {arm.label for arm in known} == labels and {arm.loss_metric for arm in known} == metrics:
            return table.compared
    losses = adjusted(compare_test_losses(arms), looks)
    return Comparisons(
        losses=losses,
        rewards=[],
        wins=[],
        forgetting=[],
        contenders=find_contenders(arms, looks),
        looks=looks,
        losses_adjusted=adjustment(losses, looks),
        rewards_adjusted="",
        wins_adjusted="",
        forgetting_adjusted="",
    )
