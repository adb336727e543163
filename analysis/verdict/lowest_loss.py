"""The verdict on the lowest loss: which arm has it, and whether the tests say so."""

import math
from collections.abc import Mapping, Sequence

from analysis.comparison.arms import Arm
from analysis.comparison.base_wins import BaseWins
from analysis.comparison.evidence import Evidence
from analysis.comparison.loss_metric import by_text
from analysis.factors.pareto import Cost, gained_costs
from analysis.findings.differences import describe_test_losses, describe_wins
from analysis.statistics.intervals import Interval
from analysis.verdict.leaderboard import base_losses
from analysis.verdict.ranking import Ranking
from analysis.verdict.summary import Verdict
from analysis.wording.numbers import show_interval, show_number, show_percent
from analysis.wording.phrases import count

LOSS_DIGITS = 3
NAMED_ARMS = 3
"""How many arms a headline names before it only counts them."""


def lowest_loss(evidence: Evidence, ranking: Ranking, against_base: Mapping[str, BaseWins]) -> Verdict:
    """Say which arm of a ranking has the lowest test loss, or that no test says which.

    Args:
        evidence: what the sweep's report stands on.
        ranking: arms whose losses compare, one finished at least.
        against_base: wins and losses against the base model by the arm's label.
    """
    best, named = ranking.ranked[0], [ranking.ranked[0], *ranking.rivals]
    metric, gained = gained_costs(evidence.results, ranking.ranked)
    gain = next((cost for cost in gained if cost.arm.label == best.label), None)
    base = base_losses(evidence, ranking).get(best.label, math.nan)
    facts = [
        *([ranking.title] if ranking.title else []),
        _loss(ranking, base, metric, gain),
        *(f"next {arm.label} {show_gap(ranking.gap(arm))}" for arm in ranking.ranked[1:2]),
        *_answers(best, against_base.get(best.label)),
        *_candidates(ranking),
    ]
    return Verdict(
        kind="lowest_loss",
        title="Lowest loss",
        arms=tuple(arm.label for arm in named),
        headline=_headline(ranking),
        facts=tuple(facts),
        why=(
            *_gain(best, metric, gain),
            *describe_test_losses(ranking.ranked, ranking.compared),
            *describe_wins(evidence.finished, evidence.looks),
        ),
    )


def named_arms(labels: Sequence[str], word: str = "and") -> str:
    """Some arms by their labels, the others counted."""
    more = [f"{len(labels) - NAMED_ARMS + 1} more"] if len(labels) > NAMED_ARMS else []
    shown = [*labels[: NAMED_ARMS - 1], *more] if more else list(labels)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {word} {shown[-1]}"


def show_gap(gap: Interval) -> str:
    """A loss minus that of the best, such as "+0.020 [0.016, 0.024]"."""
    shown = show_interval(gap, LOSS_DIGITS)
    return f"+{shown}" if gap.estimate > 0 else shown


def _headline(ranking: Ranking) -> str:
    best, rivals = ranking.ranked[0], ranking.rivals
    if not rivals:
        return best.label
    tests = [ranking.worse(arm) is not None for arm in ranking.ranked[1:]]
    if not any(tests):
        return f"no test: lowest mean is {best.label}"
    untested = any(ranking.worse(arm) is None for arm in rivals)
    apart = "no test tells apart" if untested else "not told apart"
    among = [arm.label for arm in (best, *rivals)]
    if len(rivals) < len(tests):
        return f"{named_arms(among, 'or')}{', which' if untested else ','} {apart}"
    if untested:
        return f"no single arm: {apart} {_counted(among)}"
    return f"no single arm: {_counted(among)} {apart}"


def _counted(labels: Sequence[str]) -> str:
    return count(len(labels), "arm") if len(labels) > NAMED_ARMS else named_arms(labels)


def _loss(ranking: Ranking, base: float, metric: str | None, gain: Cost | None) -> str:
    """The loss of the best arm beside that of its base model."""
    best = ranking.ranked[0]
    unit = " bits/byte" if by_text([best]) else ""
    loss = f"{show_number(best.test_loss.estimate, LOSS_DIGITS)}{unit}"
    if ranking.rivals:
        loss = f"lowest mean {loss}"
        loss += "" if best.label in _headline(ranking) else f" in {best.label}"
    if math.isfinite(base):
        return f"{loss} (base {show_number(base, LOSS_DIGITS)})"
    if gain and metric == "validation_loss":
        side = "below" if gain.gain.estimate > 0 else "above"
        return f"{loss} (validation loss {show_number(abs(gain.gain.estimate), LOSS_DIGITS)} {side} base)"
    return loss


def _answers(best: Arm, wins: BaseWins | None) -> list[str]:
    """How the answers of the best arm do, in a few words."""
    facts = []
    if best.right_answers:
        base = best.mean("reward_base_mean").estimate
        of_base = f" (base {show_percent(base)})" if math.isfinite(base) else ""
        facts.append(f"{show_percent(best.right_answers.estimate)} right{of_base}")
    if wins is None:
        return facts
    if not wins.won + wins.lost:
        return [*facts, "ties on every prompt"]
    if wins.exceed is None:
        return [*facts, f"wins {wins.won}-{wins.lost}, maybe by chance"]
    return [*facts, f"{'wins' if wins.exceed else 'loses'} {wins.won}-{wins.lost}"]


def _candidates(ranking: Ranking) -> list[str]:
    """Of many arms, among how many the best one is; the comparison with the best tells more than that of all pairs."""
    if not ranking.rivals:
        return []
    own = [group for group in ranking.compared.contenders if group.leader == ranking.ranked[0].label]
    return [
        f"the best is one of {len(group.candidates)} (95 %)" for group in own if 1 < len(group.candidates) < group.arms
    ]


def _gain(best: Arm, metric: str | None, gain: Cost | None) -> list[str]:
    """How far training took the best arm below its base model."""
    if gain is None or metric is None:
        return []
    seeds = count(len(best.seeds), "seed")
    over = f" (interval over {seeds})" if gain.gain.known else " (one seed, so without an interval)"
    return [
        f"Against the base model, {metric.replace('_', ' ')} at step 0 minus that at the end is "
        f"{show_interval(gain.gain, 4)} for {best.label}{over}."
    ]
