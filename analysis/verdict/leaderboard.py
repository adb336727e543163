"""The leaderboards of the first screen: every arm in its place, with what it won, took and forgot."""

import math
from collections.abc import Mapping, Sequence

from analysis.comparison.arms import Arm
from analysis.comparison.base_wins import BaseWins
from analysis.comparison.evidence import Evidence
from analysis.comparison.loss_metric import metric_of
from analysis.factors.pareto import TIME, cost_of, losses_at_start, why_no_times
from analysis.statistics.intervals import Interval
from analysis.tables.comparison_table import ComparisonTable
from analysis.verdict.ranking import Ranking
from analysis.verdict.summary import Board, Place
from analysis.wording.values import show_field
from basis.metrics import METRIC
from basis.outcomes import Outcome

VISIBLE = 5e-5
"""Difference of losses from which on it is seen where they are printed with four decimals."""
UNKNOWN = Interval(math.nan, math.nan, math.nan)


def boards_of(
    evidence: Evidence,
    tables: Sequence[ComparisonTable],
    rankings: Sequence[Ranking],
    against_base: Mapping[str, BaseWins],
) -> tuple[Board, ...]:
    """Make the leaderboards.

    Args:
        evidence: what the sweep's report stands on.
        tables: its tables, which know what arms forget.
        rankings: the arms by test loss.
        against_base: wins and losses against the base model by the arm's label.
    """
    forgetting = {one.arm.label: one.rise for table in tables for one in table.forgotten}
    no_times = bool(why_no_times(evidence.finished))
    boards = []
    for ranking in rankings:
        ranks = {arm.label: number for number, arm in enumerate(ranking.ranked, 1)}
        places = [
            _place(ranking, arm, ranks.get(arm.label), against_base.get(arm.label), forgetting.get(arm.label), no_times)
            for arm in ranking.arms
        ]
        metric = metric_of(ranking.arms)
        bases = base_losses(evidence, ranking)
        boards.append(
            Board(
                title=ranking.title,
                metric=metric,
                unit=METRIC[metric].unit,
                base_loss=next(iter(bases.values())) if _one_base(ranking) and bases else math.nan,
                common_seeds=any(_on_common_seeds(ranking, arm) for arm in ranking.ranked[1:]),
                places=tuple(places),
            )
        )
    return tuple(boards)


def base_losses(evidence: Evidence, ranking: Ranking) -> dict[str, float]:
    """The base model's test loss by the label of a ranked arm, the mean over its trials; none where unknown."""
    starts = losses_at_start(evidence.results, metric_of(ranking.arms))
    known = {arm.label: [starts[trial] for trial in arm.used["trial"] if trial in starts] for arm in ranking.ranked}
    return {label: sum(losses) / len(losses) for label, losses in known.items() if losses}


def _on_common_seeds(ranking: Ranking, arm: Arm) -> bool:
    """Whether an arm is held against the best by fewer seeds than their losses are means of, as one can see."""
    best = ranking.ranked[0]
    apart = arm.test_loss.estimate - best.test_loss.estimate
    return {*arm.seeds} != {*best.seeds} and abs(ranking.gap(arm).estimate - apart) > VISIBLE


def _one_base(ranking: Ranking) -> bool:
    return len({arm.model for arm in ranking.ranked}) == 1


def _place(
    ranking: Ranking,
    arm: Arm,
    rank: int | None,
    against_base: BaseWins | None,
    forgetting: Interval | None,
    no_times: bool,
) -> Place:
    behind = rank is not None and rank > 1
    finished = arm.outcome == Outcome.FINISHED
    pair = ranking.against_best.get(arm.label) if behind else None
    counts = arm.wins if finished else None
    lr = arm.config.get("lr")
    return Place(
        rank=rank,
        label=arm.label,
        state=arm.outcome,
        seeds=len(arm.used) if finished else 0,
        lr="" if lr is None else show_field(lr),
        loss=arm.test_loss if rank else UNKNOWN,
        gap=ranking.gap(arm) if behind else UNKNOWN,
        differs=ranking.worse(arm) if behind else None,
        p_value=pair.p_value if pair else math.nan,
        wins=against_base.won if against_base else counts.wins if counts else None,
        losses=against_base.lost if against_base else counts.losses if counts else None,
        won=against_base.exceed if against_base else None,
        peak_bytes=cost_of(arm, "peak_bytes") if arm.trained else math.nan,
        train_seconds=math.nan if no_times or not finished else cost_of(arm, TIME),
        forgetting=forgetting or UNKNOWN,
    )
