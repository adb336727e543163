"""The verdicts on what saves memory or time: which arm takes notably less than the best, and at what loss."""

import math
from collections.abc import Mapping, Sequence

from analysis.factors.dominance import cost_p_value, describe_fronts
from analysis.factors.pareto import TIME, Front, Point
from analysis.statistics.multiple_tests import ALPHA
from analysis.verdict.lowest_loss import show_gap
from analysis.verdict.ranking import Ranking
from analysis.verdict.summary import Kind, Verdict
from analysis.wording.numbers import show_amount, show_bytes, show_interval, show_p
from analysis.wording.phrases import count

NOTABLY = 0.1
"""Share of the best arm's cost by which another has to lie below it to be worth naming."""

COST_WORDS: dict[str, tuple[Kind, str, str]] = {
    "peak_bytes": ("saves_memory", "Saves memory", "memory"),
    TIME: ("saves_time", "Saves time", "training time"),
}
"""By the metric of a cost: the kind of its verdict, its title, and what the cost is called."""


def savings(ranking: Ranking, fronts: Sequence[Front], looks: int, base: Mapping[str, float]) -> list[Verdict]:
    """Say for each cost which arm takes notably less than the best one, at the smallest loss.

    Args:
        ranking: arms whose losses compare.
        fronts: its arms by cost and loss.
        looks: see `choices.looks_at`.
        base: the base model's test loss by the label of an arm, where it is known.

    Returns:
        A verdict for each cost that compares; none of time where the tests tell no arm to be faster.
    """
    verdicts = []
    for front in fronts:
        points = {point.arm.label: point for point in front.points}
        if len(points) > 1 and (best := points.get(ranking.ranked[0].label)):
            verdicts += _saving(ranking, front, best, looks, base)
    return verdicts


def _saving(ranking: Ranking, front: Front, best: Point, looks: int, base: Mapping[str, float]) -> list[Verdict]:
    kind, title, word = COST_WORDS[front.price.metric]
    less = [point for point in front.points if point.cost <= (1 - NOTABLY) * best.cost]
    pairs = math.comb(len(front.points), 2)
    p_values = {
        point.arm.label: min(1.0, cost_p_value(point.arm, best.arm, front.price) * pairs * looks) for point in less
    }
    less = [point for point in less if p_values[point.arm.label] < ALPHA]
    how = tuple(describe_fronts([front], looks))
    if not less:
        return [] if kind == "saves_time" else [_no_saving(ranking, front, best, how)]
    cheap = min(less, key=lambda point: point.loss)
    share = 1 - cheap.cost / best.cost
    costs = [_amount(front, point) for point in (cheap, best)]
    tested = f" ({show_p(p_values[cheap.arm.label])} over seeds, adjusted)" if kind == "saves_time" else ""
    than = f" than {best.arm.label}" if ranking.rivals else ""
    return [
        Verdict(
            kind=kind,
            title=title,
            arms=(cheap.arm.label,),
            headline=cheap.arm.label,
            facts=(f"{100 * share:.0f} % less {word}{than}", _loss_fact(ranking, cheap), *_untrained(cheap, base)),
            why=(
                f"{cheap.arm.label} takes {costs[0]} of {front.price.name}, {best.arm.label} {costs[1]}{tested}. Of "
                f"{count(len(less), 'arm')} at least {100 * NOTABLY:.0f} % below that, it has the lowest mean loss.",
                _loss_sentence(ranking, cheap),
                *how,
            ),
        )
    ]


def _no_saving(ranking: Ranking, front: Front, best: Point, how: tuple[str, ...]) -> Verdict:
    """No arm takes notably less memory than the best: it takes the least, or another hardly less."""
    kind, title, word = COST_WORDS[front.price.metric]
    least = front.points[0]
    amount = _amount(front, best)
    if front.points[-1].cost <= least.cost:
        why = f"All {len(front.points)} arms take {amount} of {front.price.name}."
        return Verdict(kind, title, (), "no arm", (f"all take {amount}",), (why, *how))
    if least.cost >= best.cost:
        lowest = "lowest mean loss" if ranking.rivals else "lowest loss"
        facts: tuple[str, ...] = (f"least {word} too: {amount}",)
        why = f"{best.arm.label} has the {lowest}, and no arm takes less {front.price.name} than its {amount}."
        return Verdict(kind, title, (best.arm.label,), best.arm.label, facts, (why, *how))
    share = 1 - least.cost / best.cost
    facts = (f"at most {_percent(share)} less than {best.arm.label}",)
    why = (
        f"The least {front.price.name} is that of {least.arm.label}, {_percent(share)} below the {amount} of "
        f"{best.arm.label}; an arm is named from {100 * NOTABLY:.0f} % on."
    )
    return Verdict(kind, title, (), "no arm to speak of", facts, (why, *how))


def _amount(front: Front, point: Point) -> str:
    if front.price.metric == "peak_bytes":
        return show_bytes(point.cost)
    return f"{show_amount(point.cost / front.unit.size)} {front.unit.name}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "1 %"


def _loss_fact(ranking: Ranking, cheap: Point) -> str:
    """What it costs in loss, and whether a test tells that from nothing."""
    gap = f"loss {show_gap(ranking.gap(cheap.arm))}"
    worse = ranking.worse(cheap.arm)
    return gap if worse else f"{gap}, untested" if worse is None else f"{gap}, not told apart"


def _untrained(cheap: Point, base: Mapping[str, float]) -> list[str]:
    """Said of an arm that saves by learning nothing."""
    return ["mean loss not below the base model's"] if cheap.loss >= base.get(cheap.arm.label, math.inf) else []


def _loss_sentence(ranking: Ranking, cheap: Point) -> str:
    best, pair = ranking.ranked[0].label, ranking.against_best.get(cheap.arm.label)
    gap = show_interval(ranking.gap(cheap.arm), 4, signed=True)
    if pair is None or not pair.tested:
        return f"Its test loss minus that of {best} is {gap}; nothing permits a test."
    told = "is told apart" if ranking.worse(cheap.arm) else "is not told apart"
    scope = "" if pair.over_seeds else ", as far as these trained models go"
    return (
        f"Its test loss minus that of {best} is {gap} (plain 95 % interval) and {told} from zero{scope}: "
        f"{show_p(pair.p_value)} ({pair.method}; {ranking.compared.losses_adjusted})."
    )
