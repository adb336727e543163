""" "What this shows": the sentences of a report that are written from its numbers.

Every claim names the comparison it rests on and what its test takes in: the choice of prompts, or that of seeds. A
difference that does not exceed its uncertainty is reported as such, and so is one whose uncertainty the data do not
carry.
"""

from collections import Counter
from typing import NamedTuple

from analysis.arms import Arm
from analysis.columns import show_best_steps, show_bytes, show_interval, show_number
from analysis.comparisons import ALPHA, WINDOW_FIELDS, Comparison, compare_rewards, compare_test_losses, windows
from analysis.learning_rates import rate_ranges
from analysis.outcomes import DIVERGED, FAILURES, FINISHED, OUT_OF_MEMORY
from analysis.results import Results, show_field
from analysis.statistics import holm, sign_test
from analysis.tables import ComparisonTable
from sweep.names import PEAK_SOURCE

NAMED_ARMS = 8
NAMED_PAIRS = 6
"""How many arms or pairs a sentence names one by one before it only counts them."""


class Finding(NamedTuple):
    """A few sentences under a short heading."""

    topic: str
    sentences: list[str]


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
        sentences = [*_test_loss(shown), *_rewards(shown), *_memory(shown, table.arms), *_learning_rates(table.arms)]
        if sentences and labels not in told:  # the same arms in another order show the same
            findings.append(Finding(table.title, sentences))
            told.append(labels)
    return findings


def _basis(results: Results, arms: list[Arm]) -> list[str]:
    if results.trials.empty:
        return ["The sweep has no trials, so it shows nothing."]
    counts = results.trials["outcome"].value_counts()
    finished = int(counts.get(FINISHED, 0))
    others = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if outcome != FINISHED)
    first = f"{finished} of {len(results.trials)} trials finished" + (f" ({others})." if others else ".")
    if not finished:
        return [first, "Without a finished trial there is nothing to compare."]
    done = [arm for arm in arms if arm.outcome == FINISHED]
    first += _disagreements(arms)
    differing = [name for name in WINDOW_FIELDS if len({repr(arm.config.get(name)) for arm in done}) > 1]
    tested = "All arms are tested on the same sample of windows."
    if differing:
        which = f"{_join(differing)} {'differ' if len(differing) > 1 else 'differs'}"
        tested = f"The arms are tested on different windows ({which}), so test losses are ranked only among like arms."
    if any(len(arm.seeds) > 1 for arm in done):
        return [first, "Intervals of losses are over seeds; those of rewards and win rates are over prompts.", tested]
    seeds = "one finished seed" if any(arm.shortfall for arm in done) else "one seed"
    return [
        first,
        f"Every arm has {seeds}. {tested} How far another seed or another sample would move a difference in test loss "
        "is unknown, and no such difference can be called certain.",
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
    """Which arms win more, or fewer, prompts than they lose; one family of tests over all arms."""
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
    several = any(len(arm.seeds) > 1 for arm, _ in counted)
    wins, losses = "Wins", "losses"
    if several:
        wins, losses = "Prompts won in more seeds than lost", "prompts lost in more seeds than won"
    sentences = []
    if above:
        sentences.append(f"{wins} exceed {losses}, and by more than chance, in {_join(above)}.")
    if below:
        sentences.append(f"{losses.capitalize()} exceed {wins.lower()}, and by more than chance, in {_join(below)}.")
    if open_:
        sentences.append(f"Not distinguishable from a coin toss: {_join(open_)}.")
    test = f"exact binomial test of {wins.lower()} against {losses}, ties set apart"
    compared = {arm.label: len(arm.margins) for arm, _ in counted if len(arm.margins)}
    asked = max(arm.asked for arm in arms)
    fewer = [f"{label} on {number} of {asked} prompts" for label, number in compared.items() if number < asked]
    return [
        *sentences,
        f"This is an {test}, Holm-adjusted for {_count(len(counted), 'arm')}. {_reach(several)}",
        *([f"Some responses have no reward: {_join(fewer)}."] if fewer else []),
    ]


def _test_loss(arms: list[Arm]) -> list[str]:
    known = sorted((arm for arm in arms if arm.values("test_loss")), key=lambda arm: arm.mean("test_loss").estimate)
    groups: dict[tuple[object, ...], list[Arm]] = {}
    for arm in known:
        groups.setdefault(windows(arm), []).append(arm)
    sentences = []
    for group, members in groups.items():
        fields = ", ".join(f"{name}={show_field(value)}" for name, value in zip(WINDOW_FIELDS, group, strict=True))
        sentences.append(_lowest(members, f" with {fields}" if len(groups) > 1 else ""))
    if compared := compare_test_losses(known):
        tests = " or ".join(sorted({one.test for one in compared}, reverse=True))
        what = f"test loss over the seeds ({tests}; Holm-adjusted within this table)"
        sentences += _pairs(what, compared, "below", "beyond uncertainty")
    if short := [f"{arm.label}, {arm.shortfall}" for arm in known if arm.shortfall]:
        sentences.append(f"Losses are those of the finished seeds alone, which may flatter: {'; '.join(short)}.")
    return sentences + _overfitting(known)


def _lowest(known: list[Arm], among: str) -> str:
    """The arm of the lowest test loss and its distance from the next, on common seeds where there are any."""
    best = known[0]
    named = f"{best.label}, {best.shortfall}" if best.shortfall else best.label
    first = f"Lowest last test loss{among}: {named} ({show_interval(best.mean('test_loss'), 4)})"
    if len(known) > 1:
        mine, others = best.by_seed("test_loss"), known[1].by_seed("test_loss")
        common = [seed for seed in mine if seed in others]
        gap = known[1].mean("test_loss").estimate - best.mean("test_loss").estimate
        if common:
            gap = sum(others[seed] - mine[seed] for seed in common) / len(common)
        first += f", {show_number(abs(gap))} {'below' if gap >= 0 else 'above'} {known[1].label}"
        if common and len(common) < max(len(mine), len(others)):
            first += f" on {_count(len(common), 'common seed')}"
        if any(len(arm.seeds) < 2 for arm in known[:2]):
            first += ", a difference without an interval"
    return f"{first}."


def _overfitting(arms: list[Arm]) -> list[str]:
    """The arm whose test loss rose most after its best, if any did."""
    rises = [(arm.mean("test_loss").estimate - arm.mean("test_loss_best").estimate, arm) for arm in arms]
    risen = [(rise, arm) for rise, arm in rises if rise > 0 and arm.values("test_loss_best_step")]
    if not risen:
        return []
    rise, arm = max(risen, key=lambda pair: pair[0])
    share = f"in {len(risen)} of {len(arms)} arms, most in {arm.label}" if len(arms) > 1 else f"in {arm.label}"
    return [
        f"Test loss rose again after its best {share}: from "
        f"{show_number(arm.mean('test_loss_best').estimate)} (step {show_best_steps(arm)}) to "
        f"{show_number(arm.mean('test_loss').estimate)}, by {show_number(rise)}; its last train loss is "
        f"{show_number(arm.mean('train_loss').estimate)}."
    ]


def _rewards(arms: list[Arm]) -> list[str]:
    compared = compare_rewards(arms)
    if not compared:
        return []
    what = (
        "reward on the same prompts (Wilcoxon signed-rank, Holm-adjusted within this table; in brackets plain 95 % "
        "intervals)"
    )
    sentences = _pairs(what, compared, "above", "by more than the choice of prompts explains")
    sentences.append(_reach(all(one.seeds > 1 for one in compared)))
    asked = max(arm.asked for arm in arms)
    numbers = sorted({one.prompts for one in compared})
    if numbers[0] < asked:
        share = " to ".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
        sentences.append(f"Some responses have no reward: the pairs are compared on {share} of {asked} prompts.")
    return sentences


def _reach(several: bool) -> str:
    """What a test over prompts does not take in."""
    if several:
        return "The test takes in the choice of prompts and not that of seeds."
    return "This holds for these trained models; another seed may change it."


def _pairs(what: str, compared: list[Comparison], direction: str, beyond: str) -> list[str]:
    """Name the pairs that differ, and those that do not; merely count where there are many."""
    beaten = Counter(one.better for one in compared if one.differs)
    differing = sorted((one for one in compared if one.differs), key=lambda one: (-beaten[one.better], one.p_value))
    same = [one for one in compared if one.tested and not one.differs]
    untested = [one for one in compared if not one.tested]
    sentences = []
    if differing:
        named = [
            f"{one.better} {direction} {one.worse} by {one.difference}{_p(one.p_value)}"
            for one in differing[:NAMED_PAIRS]
        ]
        rest = f" and {len(differing) - NAMED_PAIRS} more" if len(differing) > NAMED_PAIRS else ""
        share = f"{len(differing)} of {_count(len(compared), 'pair')} differ{'s' if len(differing) == 1 else ''}"
        sentences.append(f"In {what}, {share} {beyond}: {'; '.join(named)}{rest}.")
    if same and len(same) <= NAMED_PAIRS:
        named = [f"{one.better} and {one.worse}" for one in same]
        lead = "These pairs do not" if differing else f"In {what}, no pair differs {beyond}"
        sentences.append(f"{lead}: {'; '.join(named)}.")
    elif same:
        none = f"In {what}, none of {len(same)} pairs differs {beyond}."
        sentences.append(f"The other {len(same)} pairs do not." if differing else none)
    if untested:
        sentences.append(f"{_count(len(untested), 'pair')} cannot be tested: the seeds show no spread in {what}.")
    return [" ".join(sentences)] if sentences else []


def _memory(finished: list[Arm], arms: list[Arm]) -> list[str]:
    """How the peaks of the finished arms of a table compare, and which of its arms have run out of memory."""
    lost = [arm.label for arm in arms if arm.outcome == OUT_OF_MEMORY]
    return [*_peaks(finished), *([f"Ran out of memory for good: {_join(lost)}."] if lost else [])]


def _peaks(arms: list[Arm]) -> list[str]:
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
    """The best learning rate of each group that tried several, and whether it lies at the edge of those tried.

    Args:
        arms: all arms of a table, since the range tried is that of arms that diverged or failed too.
    """
    named, edge = [], False
    for tried in rate_ranges(arms):
        edge = edge or tried.at_edge
        asides = ["an end of the range tried"] if tried.at_edge else []
        asides += [tried.best.shortfall] if tried.best.shortfall else []
        for outcome in (DIVERGED, *FAILURES):
            lost = [show_field(arm.config["lr"]) for arm in tried.members if arm.outcome == outcome]
            asides += [f"{_join(lost)} {outcome}"] if lost else []
        aside = f" ({'; '.join(asides)})" if asides else ""
        named.append(f"{show_field(tried.best.config['lr'])}{aside} for {tried.group or 'all'}")
    if not named:
        return []
    caveat = " At an end of the range the best learning rate may lie outside it." if edge else ""
    return [
        f"Learning rate with the lowest last test loss: {'; '.join(named)}. It was chosen on the same windows that it "
        f"is judged on.{caveat}"
    ]


def _p(p_value: float) -> str:
    return f", p {'< 0.001' if p_value < 0.001 else f'= {p_value:.3f}'}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _join(parts: list[str]) -> str:
    if len(parts) > NAMED_ARMS + 1:
        parts = [*parts[:NAMED_ARMS], f"{len(parts) - NAMED_ARMS} more"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
