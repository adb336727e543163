"""The verdicts on what to avoid: arms that another one dominates beyond chance, that training ruined,
that diverged, or ran out of memory.
"""

from collections.abc import Mapping, Sequence

from analysis.comparison.arms import Arm
from analysis.factors.dominance import Dominance, describe_fronts, dominated_beyond_chance
from analysis.factors.pareto import Front
from analysis.results.experiment import Results
from analysis.verdict.lowest_loss import named_arms
from analysis.verdict.ranking import RUINED, Ranking
from analysis.verdict.savings import COST_WORDS
from analysis.verdict.summary import Verdict
from analysis.wording.numbers import show_number
from analysis.wording.phrases import join
from basis.outcomes import Outcome

LOST = {Outcome.DIVERGED: "diverged", Outcome.OUT_OF_MEMORY: "ran out of memory"}
"""What is said of arms none of whose seeds finished, by what became of them."""

MOST_DOMINATORS = 2
"""Arms that get a verdict each for those that they dominate; of more there is one verdict."""


def to_avoid(results: Results, ranking: Ranking, fronts: Sequence[Front], looks: int) -> list[Verdict]:
    """Say which arms of a ranking are to be avoided, and why.

    Args:
        results: its trials have the reasons of those that did not finish.
        ranking: arms whose losses compare.
        fronts: its arms by cost and loss.
        looks: see `choices.looks_at`.

    Returns:
        A verdict for each reason that some arm gives; an arm that is dominated by two costs is named by the first.
    """
    verdicts: list[Verdict] = []
    named: set[str] = set()
    for front in fronts:
        told = dominated_beyond_chance(front.points, front.price, looks)
        labels = [label for label in told.labels if label not in named]
        verdicts += [_dominated(front, told, alike, looks) for alike in _by_dominator(told, labels)]
        named |= {*labels}
    if ruined := [arm for arm in ranking.ranked if arm.label in ranking.ruined and arm.label not in named]:
        verdicts.append(_ruined(ruined, ranking.ruined))
    for outcome, word in LOST.items():
        if lost := [arm.label for arm in ranking.others if arm.outcome == outcome]:
            verdicts.append(_verdict(lost, word, _reasons(results, lost, outcome)))
    return verdicts


def _ruined(arms: Sequence[Arm], base: Mapping[str, float]) -> Verdict:
    ends = [f"{arm.label} {show_number(arm.test_loss.estimate)} (base {show_number(base[arm.label])})" for arm in arms]
    return _verdict(
        [arm.label for arm in arms],
        "training ruined the model: higher loss than before it",
        [f"In every seed the loss ended above {RUINED:g} times that before training; no test is made: {join(ends)}."],
    )


def _by_dominator(told: Dominance, labels: list[str]) -> list[list[str]]:
    """The labels apart by what dominates them, or together where that is several arms."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(told.dominators[label], []).append(label)
    return list(groups.values()) if len(groups) <= MOST_DOMINATORS else [labels]


def _dominated(front: Front, told: Dominance, labels: list[str], looks: int) -> Verdict:
    costs = {point.arm.label: point.cost for point in front.points}
    word = COST_WORDS[front.price.metric][2]
    by = list(dict.fromkeys(told.dominators[label] for label in labels))
    more = all(costs[label] > costs[told.dominators[label]] for label in labels)
    than = by[0] if len(by) == 1 else "others"
    each = join([f"{label} by {told.dominators[label]}" for label in labels])
    return _verdict(
        labels,
        f"{f'more {word}' if more else f'no less {word}'} and higher loss than {than}",
        [f"Dominated: {each}.", *describe_fronts([front], looks)],
    )


def _verdict(labels: list[str], fact: str, why: list[str]) -> Verdict:
    return Verdict(
        kind="avoid", title="Avoid", arms=tuple(labels), headline=named_arms(labels), facts=(fact,), why=tuple(why)
    )


def _reasons(results: Results, labels: list[str], outcome: Outcome) -> list[str]:
    """Why the trials of these arms ended, each reason once with its arms."""
    trials = results.trials
    lost = trials[trials["arm"].isin(labels) & (trials["outcome"] == outcome)]
    arms: dict[str, dict[str, None]] = {}
    for label, reason in zip(lost["arm"], lost["reason"], strict=True):
        arms.setdefault(str(reason), {})[label] = None
    return [f"{join(list(of_reason))}: {reason or outcome}." for reason, of_reason in arms.items()]
