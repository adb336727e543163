"""The sentences of "What this shows" about which arms differ: against the base model, in test loss, reward and wins.

Each says its test, and whether it speaks of arms, whatever the seed, or of the trained models at hand alone.
"""

from analysis.comparison.arms import WINDOW_FIELDS, Arm, reward_word
from analysis.comparison.base_models import base_model, base_values, several_base_models
from analysis.comparison.base_wins import wins_against_base
from analysis.comparison.comparisons import (
    Comparison,
    Comparisons,
    Contenders,
    beyond_resamples,
)
from analysis.comparison.fields import windows
from analysis.comparison.loss_metric import by_text, in_unit
from analysis.comparison.selection import best_of_many
from analysis.findings.pairs import NAMED_PAIRS, describe_pairs
from analysis.wording.numbers import show_interval, show_number, show_p
from analysis.wording.phrases import count, holm_adjusted, join
from analysis.wording.values import show_field

OVER_PROMPTS_ALONE = (
    "The test takes in the choice of prompts and not that of seeds: it speaks of these trained models, and other seeds "
    "may change it."
)


def describe_wins(arms: list[Arm], looks: int) -> list[str]:
    """Which arms win more, or fewer, prompts than they lose; one family of tests over all arms.

    Args:
        arms: finished arms.
        looks: see `choices.looks_at`.

    Returns:
        Sentences; none without wins and losses.
    """
    counted = wins_against_base(arms, looks)
    if not counted:
        return []
    above: list[str] = []
    below: list[str] = []
    open_: list[str] = []
    for one in counted:
        where = open_ if one.exceed is None else above if one.exceed else below
        where.append(f"{one.arm.label} ({one.won} to {one.lost}, {show_p(one.p_value)})")
    wins, losses = "Wins", "losses"
    if any(len(one.arm.seeds) > 1 for one in counted):
        wins, losses = "Prompts won in more seeds than lost", "prompts lost in more seeds than won"
    sentences = []
    if above:
        sentences.append(f"{wins} exceed {losses}, and by more than chance, in {join(above)}.")
    if below:
        sentences.append(f"{losses.capitalize()} exceed {wins.lower()}, and by more than chance, in {join(below)}.")
    if open_:
        sentences.append(f"Not distinguishable from a coin toss: {join(open_)}.")
    test = f"exact binomial test of {wins.lower()} against {losses}, ties set apart"
    compared = {one.arm.label: len(one.arm.margins) for one in counted if len(one.arm.margins)}
    asked = max(arm.asked for arm in arms)
    fewer = [f"{label} on {number} of {asked} prompts" for label, number in compared.items() if number < asked]
    return [
        *(["Each arm is held against its own base model."] if several_base_models(arms) else []),
        *sentences,
        f"This is an {test}, {holm_adjusted(len(counted), 'arm', looks)}. {OVER_PROMPTS_ALONE}",
        *([f"Some responses have no reward: {join(fewer)}."] if fewer else []),
    ]


def describe_test_losses(arms: list[Arm], made: Comparisons) -> list[str]:
    """Which arm has the lowest test loss, which cannot be told apart from it, and which pairs differ.

    Args:
        arms: finished arms of one table.
        made: their comparisons.

    Returns:
        Sentences; none without test losses.
    """
    known = sorted((arm for arm in arms if arm.has_test_loss), key=lambda arm: arm.test_loss.estimate)
    compared = [pair for pair in made.losses if pair.same_rows]
    unit = in_unit(known)
    contenders = {group.leader: group for group in made.contenders}
    groups: dict[tuple[object, ...], list[Arm]] = {}
    for arm in known:
        groups.setdefault(windows(arm) if contenders else arm.window_values, []).append(arm)
    sentences = []
    for members in groups.values():
        among = f"{unit}{_windows_of(members[0], by_text(known) and bool(contenders))}" if len(groups) > 1 else unit
        sentences.append(_lowest(members, compared, among, bool(contenders)))
        if members[0].label in contenders and any(pair.tested for pair in compared):
            sentences.append(_may_be_best(contenders[members[0].label], compared))
    adjusted = made.losses_adjusted
    scopes = (
        (True, f"test loss{unit}", "beyond uncertainty"),
        (False, f"test loss{unit} of these trained models alone", "by more than the choice of windows explains"),
    )
    for over_seeds, scope, beyond in scopes:
        if some := [pair for pair in compared if pair.over_seeds == over_seeds]:
            tests = " or ".join(sorted({pair.method for pair in some}))
            what = f"{scope} ({tests}; {adjusted}; in brackets plain 95 % intervals)"
            sentences += describe_pairs(what, some, "below", beyond, 4)
    sentences += _on_other_rows([pair for pair in made.losses if not pair.same_rows], unit)
    if short := [f"{arm.label}, {arm.shortfall}" for arm in known if arm.shortfall]:
        sentences.append(f"Losses are those of the finished seeds alone, which may flatter: {'; '.join(short)}.")
    return sentences


def _windows_of(arm: Arm, by_rows: bool) -> str:
    """The windows that arms are tested on, of those that a table has several kinds of."""
    fields = " with " + ", ".join(f"{name}={show_field(arm.config.get(name))}" for name in WINDOW_FIELDS)
    return f"{fields} on the same rows of text" if by_rows else fields


def _on_other_rows(compared: list[Comparison], unit: str) -> list[str]:
    """How far arms lie apart that are tested on other rows of text, which no test compares."""
    if not compared:
        return []
    named = [f"{pair.better} below {pair.worse} by {show_number(pair.gap.estimate)}" for pair in compared[:NAMED_PAIRS]]
    rest = f" and {len(compared) - NAMED_PAIRS} more pairs" if len(compared) > NAMED_PAIRS else ""
    return [
        f"Without a test of test loss{unit}, for they are tested on rows of text that differ, since a row ends after "
        f"so many tokens of its tokenizer: {'; '.join(named)}{rest}."
    ]


def _may_be_best(contenders: Contenders, compared: list[Comparison]) -> str:
    """Which of many arms the best one is among."""
    own = [pair for pair in compared if contenders.leader in (pair.a, pair.b) and pair.tested]
    what = f"best of these {contenders.arms:,} trained models"
    if all(pair.over_seeds for pair in own):
        what = f"arm of the lowest expected test loss of all {contenders.arms:,}"
    others = [label for label in contenders.candidates if label != contenders.leader]
    if not others:
        return f"With 95 % certainty it is the {what} (each is compared with the lowest)."
    if len(others) == contenders.arms - 1:
        return f"Which is the {what}, no test says: none can be left out."
    return (
        f"With 95 % certainty the {what} is one of {len(contenders.candidates)}: it or {join(others, 'or')} (each is "
        "compared with the lowest, which says nothing of how the others differ)."
    )


def _lowest(known: list[Arm], compared: list[Comparison], among: str, many: bool) -> str:
    """The arm of the lowest test loss and what cannot be told apart from it, or what it is said without."""
    best = known[0]
    named = f"{best.label}, {best.shortfall}" if best.shortfall else best.label
    mean = best.test_loss
    first = f"Lowest last test loss{among}: {named} ({show_interval(mean, 4)})"
    if len(known) == 1:
        return f"{first}."
    flattered = best_of_many(len(known))
    own = [pair for pair in compared if best.label in (pair.a, pair.b) and pair.tested]
    if not own:
        return f"{first}{_untested_gap(best, known[1])}.{flattered}"
    over_seeds = all(pair.over_seeds for pair in own)
    scope = "" if over_seeds else ", as far as these trained models go"
    tied = [pair.b if pair.a == best.label else pair.a for pair in own if not pair.differs]
    others = f"{'the one arm' if len(own) == 1 else f'all {len(own)} arms'} that it could be compared with"
    if len(own) == len(known) - 1:
        others = "every other arm"
    if not tied:
        return f"{first}, which the tests that follow tell apart from {others}{scope}.{flattered}"
    if len(tied) == len(known) - 1:
        last = f"{known[-1].label} ({show_interval(known[-1].test_loss, 4)})"
        return (
            f"Last test loss{among} singles out no arm: it goes from {named} ({show_interval(mean, 4)}) to {last}, and "
            f"the tests that follow do not tell the lowest apart from any other{scope}."
        )
    letter = ", with which it shares a letter" if over_seeds and not many else ""
    return f"{first}, which the tests that follow do not tell apart from {join(tied)}{letter}{scope}.{flattered}"


def _untested_gap(best: Arm, second: Arm) -> str:
    """The distance of two arms that no test compares, on common seeds where there are any."""
    mine, others = best.by_seed(best.loss_metric), second.by_seed(second.loss_metric)
    common = [seed for seed in mine if seed in others]
    gap = second.test_loss.estimate - best.test_loss.estimate
    if common:
        gap = sum(others[seed] - mine[seed] for seed in common) / len(common)
    fewer = common and len(common) < max(len(mine), len(others))
    seeds = f" on {count(len(common), 'common seed')}" if fewer else ""
    return (
        f", {show_number(abs(gap))} {'below' if gap >= 0 else 'above'} {second.label}{seeds}, a difference without an "
        "interval"
    )


def describe_rewards(arms: list[Arm], made: Comparisons) -> list[str]:
    """Which pairs of arms differ in reward or in right answers, and in wins prompt by prompt.

    Args:
        arms: finished arms of one table.
        made: their comparisons.

    Returns:
        Sentences; none where a reward model judges and no two arms answered the same prompts.
    """
    compared, sentences = made.rewards, _right_answers(arms)
    if not compared:
        return sentences
    adjusted, word = made.rewards_adjusted, reward_word(arms)
    for over_seeds in (True, False):
        some = [pair for pair in compared if pair.over_seeds == over_seeds]
        tests = " or ".join(sorted({pair.method for pair in some}))
        what = f"{word} on the same prompts ({tests}; {adjusted}; in brackets plain 95 % intervals)"
        explained = "seeds and prompts explains" if over_seeds else "prompts explains"
        sentences += describe_pairs(what, some, "above", f"by more than the choice of {explained}", 2)
    if any(not pair.over_seeds for pair in compared):
        sentences.append(OVER_PROMPTS_ALONE)
    if beyond := beyond_resamples(compared, made.looks):
        sentences.append(beyond)
    sentences.append(_won(made))
    asked = max(arm.asked for arm in arms)
    numbers = sorted({pair.cases for pair in compared})
    if numbers[0] < asked:
        share = " to ".join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))
        sentences.append(f"Some responses have no reward: the pairs are compared on {share} of {asked} prompts.")
    return sentences


def _right_answers(arms: list[Arm]) -> list[str]:
    """How many prompts each arm answers rightly, and the base model; nothing where a reward model judges."""
    known = [(arm, share) for arm in arms if (share := arm.right_answers)]
    if not known:
        return []
    known.sort(key=lambda pair: -pair[1].estimate)
    asked = max(arm.asked for arm, _ in known)
    named = [f"{share.estimate * arm.asked:.0f} in {arm.label}" for arm, share in known[:NAMED_PAIRS]]
    rest = f" and {len(known) - NAMED_PAIRS} more arms" if len(known) > NAMED_PAIRS else ""
    judged = [arm for arm, _ in known]
    base = base_values(judged, "reward_base_mean", lambda share: f"{share * asked:.0f}")
    seeds = ", on average over seeds" if any(len(arm.seeds) > 1 for arm, _ in known) else ""
    return [
        f"Right answers of {count(asked, 'prompt')}{seeds}: {', '.join(named)}{rest}; {base} by {base_model(judged)}."
    ]


def _won(made: Comparisons) -> str:
    """Which arms win against which, prompt by prompt."""
    compared = made.wins
    differing = sorted((pair for pair in compared if pair.differs), key=lambda pair: pair.p_value)
    what = f"Prompt by prompt (exact sign test of these trained models' wins, ties set apart; {made.wins_adjusted})"
    if not differing:
        return f"{what}, no arm wins against another by more than chance."
    named = []
    for pair in differing[:NAMED_PAIRS]:
        first, second = (pair.a, pair.b) if pair.wins > pair.losses else (pair.b, pair.a)
        score = f"{max(pair.wins, pair.losses)} to {min(pair.wins, pair.losses)}"
        named.append(f"{first} wins against {second} {score}, {show_p(pair.p_value)}")
    rest = f" and {len(differing) - NAMED_PAIRS} more" if len(differing) > NAMED_PAIRS else ""
    return f"{what}, {len(differing)} of {count(len(compared), 'pair')} differ: {'; '.join(named)}{rest}."
