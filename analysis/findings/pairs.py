"""Which pairs of arms differ in what they are compared in, and which do not, in words."""

from collections import Counter

from analysis.comparison.comparisons import Comparison
from analysis.wording.numbers import show_interval, show_p
from analysis.wording.phrases import count

NAMED_PAIRS = 6
"""How many pairs a sentence names one by one before it only counts them."""


def describe_pairs(what: str, compared: list[Comparison], direction: str, beyond: str, digits: int) -> list[str]:
    """Name the pairs that differ, and those that do not; merely count where there are many.

    Args:
        what: what they are compared in, with the tests in brackets.
        compared: the pairs.
        direction: how the better arm lies to the other, "below" or "above".
        beyond: what a difference goes beyond.
        digits: decimals of a difference.

    Returns:
        One text of a few sentences; none without pairs.
    """
    beaten = Counter(pair.better for pair in compared if pair.differs)
    differing = sorted(
        (pair for pair in compared if pair.differs), key=lambda pair: (-beaten[pair.better], pair.p_value)
    )
    same = [pair for pair in compared if pair.tested and not pair.differs]
    untested = [pair for pair in compared if not pair.tested]
    sentences = []
    if differing:
        named = [
            f"{pair.better} {direction} {pair.worse} by {show_interval(pair.gap, digits)}, {show_p(pair.p_value)}"
            for pair in differing[:NAMED_PAIRS]
        ]
        rest = f" and {len(differing) - NAMED_PAIRS} more" if len(differing) > NAMED_PAIRS else ""
        share = f"{len(differing)} of {count(len(compared), 'pair')} differ{'s' if len(differing) == 1 else ''}"
        sentences.append(f"In {what}, {share} {beyond}: {'; '.join(named)}{rest}.")
    if same and len(same) <= NAMED_PAIRS:
        lead = "These pairs do not" if differing else f"In {what}, no pair differs {beyond}"
        sentences.append(f"{lead}: {'; '.join(f'{pair.a} and {pair.b}, {show_p(pair.p_value)}' for pair in same)}.")
    elif same:
        none = f"In {what}, none of {len(same)} pairs differs {beyond}."
        sentences.append(f"The other {len(same)} pairs do not." if differing else none)
    if untested:
        lead = "" if sentences else f"In {what}, "
        sentences.append(
            f"{lead}{count(len(untested), 'pair')} cannot be tested, since the differences have no spread."
        )
    return [" ".join(sentences)] if sentences else []
