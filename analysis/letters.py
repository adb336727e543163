"""Letters beside the rows of a table: arms that share one cannot be told apart (a compact letter display)."""

from collections.abc import Iterable, Sequence
from itertools import combinations

from analysis.arms import Arm
from analysis.comparisons import Comparison, windows
from analysis.phrases import holm_adjusted

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def assign_letters(labels: Sequence[str], told_apart: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Give letters such that two arms share one exactly if they are not told apart.

    Args:
        labels: the arms, best first; the letter a goes to the first.
        told_apart: pairs that a test tells apart.

    Returns:
        The letters of each arm, such as "ab".

    Source: Piepho, "An algorithm for a letter-based representation of all-pairwise comparisons", J. Computational and
    Graphical Statistics 13 (2004): insert and absorb.
    """
    groups = [frozenset(labels)]
    for a, b in told_apart:
        split: set[frozenset[str]] = set()
        for group in groups:
            split |= {group - {a}, group - {b}} if {a, b} <= group else {group}
        groups = [group for group in split if not any(group < other for other in split)]
    groups.sort(key=lambda group: sorted(map(labels.index, group)))
    return {label: "".join(_letter(i) for i, group in enumerate(groups) if label in group) for label in labels}


def letters_of(arms: list[Arm], compared: list[Comparison]) -> dict[str, str]:
    """Letters of the arms of a table by test loss.

    Args:
        arms: arms of one table.
        compared: their comparisons by test loss. Only those that speak of arms whatever the seed count, since one seed
            tells trained models apart and not the arms.

    Returns:
        Letters by label, from the lowest mean test loss on; arms that no such test compares with another have none.
        Arms tested on different windows share no letter, without being told apart.
    """
    claims = [one for one in compared if one.over_seeds and one.tested]
    losses = {arm.label: arm.mean("test_loss").estimate for arm in arms}
    labels = sorted({label for one in claims for label in (one.a, one.b)}, key=lambda label: (losses[label], label))
    tested_on = {arm.label: windows(arm) for arm in arms}
    unlike = [pair for pair in combinations(labels, 2) if tested_on[pair[0]] != tested_on[pair[1]]]
    return assign_letters(labels, [*((one.a, one.b) for one in claims if one.differs), *unlike])


def letters_note(compared: list[Comparison], looks: int) -> str:
    """What the letters of a table mean, or why it has none; empty where nothing was compared."""
    tested = [one for one in compared if one.tested]
    claims = [one for one in tested if one.over_seeds]
    adjusted = holm_adjusted(len(tested), "pair", looks)
    if claims:
        tests = " or ".join(sorted({one.method for one in claims}))
        return f"Arms that share a letter cannot be told apart by last test loss ({tests}; {adjusted}; 5 % level)."
    return "There are no letters: one seed tells these trained models apart, not the arms." if tested else ""


def _letter(number: int) -> str:
    """a, b, ..., z, then a1, b1 and so on."""
    turn, place = divmod(number, len(ALPHABET))
    return ALPHABET[place] + (str(turn) if turn else "")
