"""What training costs on general text: which arms forget, and whether chance explains it."""

from collections.abc import Sequence

from analysis.comparison.base_models import base_model
from analysis.comparison.comparisons import Comparisons
from analysis.comparison.forgetting import Forgetting
from analysis.findings.pairs import describe_pairs
from analysis.wording.numbers import show_interval, show_p
from analysis.wording.phrases import count, holm_adjusted


def describe_forgetting(forgotten: Sequence[Forgetting], looks: int) -> list[str]:
    """Say in which arms the loss on general text rose above the base model's, and whether chance explains it.

    Args:
        forgotten: what the arms of one table forget.
        looks: see `choices.looks_at`.

    Returns:
        One sentence; none where no arm measured it.
    """
    if not forgotten:
        return []
    base = base_model([one.arm for one in forgotten])
    tested = [one for one in forgotten if one.difference]
    how = f"{_method(tested)}; {holm_adjusted(len(tested), 'arm', looks)}" if tested else ""
    ranked = sorted((one for one in forgotten if one.told), key=lambda one: -one.rise.estimate)
    risen = [one for one in ranked if one.rise.estimate > 0]
    fallen = [one for one in reversed(ranked) if one.rise.estimate < 0]
    if not ranked:
        most = max(forgotten, key=lambda one: one.rise.estimate)
        chance = f"in no arm is that more than chance ({how})"
        rows = max((len(losses) for one in forgotten for losses in one.arm.general_losses.values()), default=0)
        why = f"{'of one row' if rows == 1 else 'without losses by window'} one seed can't tell"
        why = chance if tested else why
        return [f"Against {base}, loss on general text rises most in {_of(most)}; {why}."]
    parts = []
    if risen:
        least = f", least in {_of(risen[-1])}" if len(risen) > 1 else ""
        which = f"{len(risen)} of {count(len(forgotten), 'arm')}, most in " if len(forgotten) > 1 else ""
        parts.append(f"rose in {which}{_of(risen[0])}{least}")
    if fallen:
        which = f"{len(fallen)} of {count(len(forgotten), 'arm')}, most in " if len(forgotten) > 1 else ""
        parts.append(f"fell in {which}{_of(fallen[0])}")
    return [f"Against {base}, and beyond chance, loss on general text {' and '.join(parts)} ({how})."]


def describe_forgetting_pairs(made: Comparisons) -> list[str]:
    """Which pairs of arms of one base model differ in what they forget.

    Args:
        made: the comparisons of a table's finished arms.

    Returns:
        Sentences; none where no two arms were tested on general text.
    """
    sentences = []
    for over_seeds, beyond in ((True, "beyond uncertainty"), (False, "by more than the choice of windows explains")):
        some = [pair for pair in made.forgetting if pair.over_seeds == over_seeds]
        tests = " or ".join(sorted({pair.method for pair in some}))
        whose = "" if over_seeds else " of these trained models alone"
        what = f"forgetting{whose} ({tests}; {made.forgetting_adjusted}; in brackets plain 95 % intervals)"
        sentences += describe_pairs(what, some, "below", beyond, 4)
    return sentences


def _of(one: Forgetting) -> str:
    p_value = f", {show_p(one.p_value)}" if one.difference else ""
    return f"{one.arm.label}, by {show_interval(one.rise, 4, signed=True)} nats/token{p_value}"


def _method(tested: Sequence[Forgetting]) -> str:
    """The tests, each named once, and what they do not speak of."""
    differences = [one.difference for one in tested if one.difference]
    methods = " or ".join(dict.fromkeys(difference.method for difference in differences))
    if all(difference.over_seeds for difference in differences):
        return methods
    return f"{methods}, which speaks of these trained models alone"
