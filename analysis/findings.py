""" "What this shows": the sentences of a report that are written from its numbers.

Every claim names the comparison it rests on. A difference that does not exceed its uncertainty is reported as such,
and so is one whose uncertainty the data do not carry.
"""

from collections import Counter
from itertools import combinations
from typing import NamedTuple

from analysis.arms import Arm
from analysis.columns import show_bytes, show_interval, show_number
from analysis.results import FINISHED, Results, show_field
from analysis.statistics import LEVEL, holm, mean_interval, paired_test, rank_direction, sign_test, welch_test
from analysis.tables import ComparisonTable, varying_fields
from sweep.names import PEAK_SOURCE

ALPHA = 1 - LEVEL
NAMED_ARMS = 8
NAMED_PAIRS = 6
"""How many arms or pairs a sentence names one by one before it only counts them."""


class Finding(NamedTuple):
    """A few sentences under a short heading."""

    topic: str
    sentences: list[str]


class Comparison(NamedTuple):
    """Two arms compared: `better` minus `worse` in words, and the p-value adjusted for all pairs of the table."""

    better: str
    worse: str
    difference: str
    p_value: float

    @property
    def differs(self) -> bool:
        """Whether the difference exceeds its uncertainty."""
        return self.p_value < ALPHA


def find(results: Results, arms: list[Arm], tables: list[ComparisonTable]) -> list[Finding]:
    """Write what the numbers of a sweep show.

    Args:
        results: the directory's content.
        arms: all arms of the sweep.
        tables: its tables.

    Returns:
        Findings in reading order; the first says how many trials the rest stands on.
    """
    findings = [Finding("What it rests on", _basis(results, arms))]
    finished = [arm for arm in arms if arm.outcome == FINISHED]
    if wins := _against_base(finished):
        findings.append(Finding("Against the base model", wins))
    told: list[set[str]] = []
    for table in tables:
        shown = [arm for arm in table.arms if arm.outcome == FINISHED]
        labels = {arm.label for arm in shown}
        sentences = [*_test_loss(shown), *_rewards(shown), *_memory(shown), *_learning_rates(shown)]
        if sentences and labels not in told:  # the same arms in another order show the same
            findings.append(Finding(table.title, sentences))
            told.append(labels)
    return findings


def compare_rewards(arms: list[Arm]) -> list[Comparison]:
    """Compare every pair of arms by the rewards of their responses to the same prompts.

    Args:
        arms: arms of one table; those without responses are passed over.

    Returns:
        One comparison per pair, p-values of Wilcoxon's signed-rank test adjusted by Holm's method.
    """
    pairs = []
    for a, b in combinations([arm for arm in arms if len(arm.margins)], 2):
        # Both margins subtract the same base reward of a prompt, so their difference is that of the rewards.
        differences = list((a.margins - b.margins).dropna())
        if not differences:
            continue
        if sum(differences) < 0:
            a, b, differences = b, a, [-value for value in differences]
        mean = mean_interval(differences)
        pairs.append((a.label, b.label, show_interval(mean, 2), _paired_p(differences, mean.estimate)))
    adjusted = holm([pair[3] for pair in pairs])
    return [Comparison(*pair[:3], p_value) for pair, p_value in zip(pairs, adjusted, strict=True)]


def compare_test_losses(arms: list[Arm]) -> list[Comparison]:
    """Compare every pair of arms by last test loss over their seeds.

    Args:
        arms: arms of one table; those with fewer than two seeds are passed over.

    Returns:
        One comparison per pair, lower loss first, p-values of Welch's t test adjusted by Holm's method.
    """
    pairs = []
    for a, b in combinations([arm for arm in arms if len(arm.values("test_loss")) > 1], 2):
        if a.mean("test_loss").estimate > b.mean("test_loss").estimate:
            a, b = b, a
        lower, higher = a.values("test_loss"), b.values("test_loss")
        by = show_number(b.mean("test_loss").estimate - a.mean("test_loss").estimate)
        pairs.append((a.label, b.label, by, welch_test(lower, higher)))
    adjusted = holm([pair[3] for pair in pairs])
    return [Comparison(*pair[:3], p_value) for pair, p_value in zip(pairs, adjusted, strict=True)]


def _basis(results: Results, arms: list[Arm]) -> list[str]:
    if results.trials.empty:
        return ["The sweep has no trials, so it shows nothing."]
    counts = results.trials["outcome"].value_counts()
    finished = int(counts.get(FINISHED, 0))
    others = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if outcome != FINISHED)
    first = f"{finished} of {len(results.trials)} trials finished" + (f" ({others})." if others else ".")
    if not finished:
        return [first, "Without a finished trial there is nothing to compare."]
    replicated = [arm for arm in arms if arm.outcome == FINISHED and len(arm.seeds) > 1]
    first += _disagreements(arms)
    if replicated:
        return [first, "Intervals of losses are over seeds; those of rewards and win rates are over prompts."]
    return [
        first,
        "Every arm has one seed. All arms are tested on the same windows, so a difference in test loss is no noise of "
        "the windows; but how far another seed would move it is unknown, and no such difference can be called certain.",
    ]


def _disagreements(arms: list[Arm]) -> str:
    """Arms whose two records of the same wins differ: the report must not rest on them unnoticed."""
    wrong = [
        arm.label
        for arm in arms
        if arm.wins and len(arm.margins) and len(arm.used) == 1 and arm.wins.wins != int((arm.margins > 0).sum())
    ]
    return f" The wins in result.json and in responses.jsonl disagree for {_join(wrong)}." if wrong else ""


def _against_base(arms: list[Arm]) -> list[str]:
    """Which arms win more, or less, often than they lose; one family of tests over all arms."""
    counted = [(arm, counts) for arm in arms if (counts := arm.won_and_lost)]
    if not counted:
        return []
    adjusted = holm([sign_test(*counts) for _, counts in counted])
    above: list[str] = []
    below: list[str] = []
    open_: list[str] = []
    for (arm, (won, lost)), p_value in zip(counted, adjusted, strict=True):
        where = open_ if p_value >= ALPHA else above if won > lost else below
        where.append(f"{arm.label} ({won} to {lost}{_p(p_value)})")
    sentences = []
    if above:
        sentences.append(f"Wins exceed losses, and by more than chance, in {_join(above)}.")
    if below:
        sentences.append(f"Losses exceed wins, and by more than chance, in {_join(below)}.")
    if open_:
        sentences.append(f"Not distinguishable from a coin toss: {_join(open_)}.")
    tests = "exact binomial test of wins against losses, ties set apart"
    return [*sentences, f"This is an {tests}, Holm-adjusted for {_count(len(counted), 'arm')}."]


def _test_loss(arms: list[Arm]) -> list[str]:
    known = sorted((arm for arm in arms if arm.values("test_loss")), key=lambda arm: arm.mean("test_loss").estimate)
    if not known:
        return []
    first = f"Lowest last test loss: {known[0].label} ({show_interval(known[0].mean('test_loss'), 4)})"
    if len(known) > 1:
        gap = known[1].mean("test_loss").estimate - known[0].mean("test_loss").estimate
        first += f", {show_number(gap)} below {known[1].label}"
        if any(len(arm.seeds) < 2 for arm in known[:2]):
            first += ", a difference without an interval"
    sentences = [f"{first}."]
    if compared := compare_test_losses(known):
        sentences += _pairs("test loss over the seeds (Welch, Holm-adjusted)", compared, "below")
    return sentences + _overfitting(known)


def _overfitting(arms: list[Arm]) -> list[str]:
    """The arm whose test loss rose most after its best, if any did."""
    rises = [(arm.mean("test_loss").estimate - arm.mean("test_loss_best").estimate, arm) for arm in arms]
    risen = [(rise, arm) for rise, arm in rises if rise > 0 and arm.values("test_loss_best_step")]
    if not risen:
        return []
    rise, arm = max(risen, key=lambda pair: pair[0])
    step = show_number(sum(arm.values("test_loss_best_step")) / len(arm.values("test_loss_best_step")), 0)
    share = f"in {len(risen)} of {len(arms)} arms, most in {arm.label}" if len(arms) > 1 else f"in {arm.label}"
    return [
        f"Test loss rose again after its best {share}: from "
        f"{show_number(arm.mean('test_loss_best').estimate)} (step {step}) to "
        f"{show_number(arm.mean('test_loss').estimate)}, by {show_number(rise)}; its last train loss is "
        f"{show_number(arm.mean('train_loss').estimate)}."
    ]


def _rewards(arms: list[Arm]) -> list[str]:
    compared = compare_rewards(arms)
    what = "reward on the same prompts (Wilcoxon signed-rank, Holm-adjusted; in brackets plain 95 % intervals)"
    return _pairs(what, compared, "above") if compared else []


def _pairs(what: str, compared: list[Comparison], direction: str) -> list[str]:
    """Name the pairs that differ, and those that do not; merely count where there are many."""
    beaten = Counter(one.better for one in compared if one.differs)
    differing = sorted((one for one in compared if one.differs), key=lambda one: (-beaten[one.better], one.p_value))
    same = [one for one in compared if not one.differs]
    sentences = []
    if differing:
        named = [
            f"{one.better} {direction} {one.worse} by {one.difference}{_p(one.p_value)}"
            for one in differing[:NAMED_PAIRS]
        ]
        rest = f" and {len(differing) - NAMED_PAIRS} more" if len(differing) > NAMED_PAIRS else ""
        share = f"{len(differing)} of {_count(len(compared), 'pair')} differ{'s' if len(differing) == 1 else ''}"
        sentences.append(f"In {what}, {share} beyond uncertainty: {'; '.join(named)}{rest}.")
    if same and len(same) <= NAMED_PAIRS:
        named = [f"{one.better} and {one.worse}" for one in same]
        lead = "These pairs do not" if differing else f"In {what}, no pair differs beyond uncertainty"
        sentences.append(f"{lead}: {'; '.join(named)}.")
    elif same:
        none = f"In {what}, none of {len(same)} pairs differs beyond uncertainty."
        sentences.append(f"The other {len(same)} pairs do not." if differing else none)
    return [" ".join(sentences)] if sentences else []


def _memory(arms: list[Arm]) -> list[str]:
    known = sorted((arm for arm in arms if arm.values("peak_bytes")), key=lambda arm: arm.largest("peak_bytes"))
    if len(known) < 2:
        return []
    if len({arm.text(PEAK_SOURCE) for arm in known}) > 1:
        return ["Peak memory was measured in different ways and is not compared."]
    low, high = known[0].largest("peak_bytes"), known[-1].largest("peak_bytes")
    if low == high or low <= 0:
        return [f"Peak memory is the same in all arms: {show_bytes(low)}."]
    return [
        f"Peak memory goes from {show_bytes(low)} ({known[0].label}) to {show_bytes(high)} ({known[-1].label}): "
        f"{show_number(high / low, 2 if high / low >= 1.01 else 4)} times as much, {show_bytes(high - low)} more."
    ]


def _learning_rates(arms: list[Arm]) -> list[str]:
    """The best learning rate of each group that tried several, and whether it lies at the edge of those tried."""
    groups: dict[str, list[Arm]] = {}
    for arm in arms:
        others = [name for name in varying_fields(arms) if name != "lr"]
        if isinstance(arm.config.get("lr"), (int, float)) and arm.values("test_loss"):
            groups.setdefault(" ".join(f"{name}={show_field(arm.config.get(name))}" for name in others), []).append(arm)
    named, edge = [], False
    for group, members in groups.items():
        rates = sorted(float(arm.config["lr"]) for arm in members)
        if len(rates) > 1:
            best = min(members, key=lambda arm: arm.mean("test_loss").estimate).config["lr"]
            at_edge = float(best) in (rates[0], rates[-1])
            edge = edge or at_edge
            named.append(f"{show_field(best)}{' (an end of the range tried)' if at_edge else ''} for {group or 'all'}")
    if not named:
        return []
    caveat = " At an end of the range the best learning rate may lie outside it." if edge else ""
    return [
        f"Learning rate with the lowest last test loss: {'; '.join(named)}. It was chosen on the same windows that it "
        f"is judged on.{caveat}"
    ]


def _paired_p(differences: list[float], mean: float) -> float:
    """Wilcoxon's p-value, or 1 where mean and ranks point in opposite directions, so that no direction is claimed."""
    return paired_test(differences) if rank_direction(differences) * mean >= 0 else 1.0


def _p(p_value: float) -> str:
    return f", p {'< 0.001' if p_value < 0.001 else f'= {p_value:.3f}'}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _join(parts: list[str]) -> str:
    if len(parts) > NAMED_ARMS + 1:
        parts = [*parts[:NAMED_ARMS], f"{len(parts) - NAMED_ARMS} more"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
