"""The column beside the test losses of a table.

Few arms get letters, and two arms share one if no test tells them apart. Of many arms those that may be the best are
marked.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from analysis.comparison.arms import Arm
from analysis.comparison.comparisons import Comparison, Comparisons
from analysis.comparison.fields import general_windows, windows
from analysis.wording.numbers import MISSING
from analysis.wording.phrases import count

LOWEST, MAY_BE = "lowest", "may be"
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


def forgetting_letters_of(arms: list[Arm], compared: list[Comparison]) -> dict[str, str]:
    """Letters of the arms of a table by what they forget, from the one that forgets least on.

    Args:
        arms: arms of one table.
        compared: their comparisons by forgetting; see `letters_of`.

    Returns:
        Letters by label. Arms of different base models or windows share no letter, without being told apart.
    """
    rises = {arm.label: arm.mean("forgetting").estimate for arm in arms}
    return _letters(compared, rises, {arm.label: general_windows(arm) for arm in arms})


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
    losses = {arm.label: arm.test_loss.estimate for arm in arms}
    return _letters(compared, losses, {arm.label: windows(arm) for arm in arms})


def _letters(
    compared: list[Comparison], losses: Mapping[str, float], compared_within: Mapping[str, object]
) -> dict[str, str]:
    claims = [pair for pair in compared if pair.over_seeds and pair.tested]
    labels = sorted({label for pair in claims for label in (pair.a, pair.b)}, key=lambda label: (losses[label], label))
    unlike = [pair for pair in combinations(labels, 2) if compared_within[pair[0]] != compared_within[pair[1]]]
    return assign_letters(labels, [*((pair.a, pair.b) for pair in claims if pair.differs), *unlike])


def letters_note(compared: Comparisons) -> str:
    """What the letters of a table mean, or why it has none; empty where nothing was compared."""
    tested = [pair for pair in compared.losses if pair.tested]
    if methods := sorted({pair.method for pair in tested if pair.over_seeds}):
        how = f"{' or '.join(methods)}; {compared.losses_adjusted}; 5 % level"
        return f"Arms that share a letter cannot be told apart by last test loss ({how})."
    return "There are no letters: one seed tells these trained models apart, not the arms." if tested else ""


def marks_of(arms: list[Arm], compared: Comparisons) -> dict[str, str]:
    """What is said of each of many arms, of which not all pairs are tested: whether it may be the best.

    Args:
        arms: arms of one table.
        compared: their comparisons.

    Returns:
        By label LOWEST, MAY_BE, or a dash where an arm is not among the candidates or has no test loss. Where no test
        could be made the lowest alone is marked.
    """
    leaders = {group.leader for group in compared.contenders}
    tested = any(pair.tested for pair in compared.losses)
    candidates = {label for group in compared.contenders for label in group.candidates if tested}
    return {
        arm.label: LOWEST if arm.label in leaders else MAY_BE if arm.label in candidates else MISSING for arm in arms
    }


def marks_note(compared: Comparisons) -> str:
    """What the marks of `marks_of` mean."""
    tested = [pair for pair in compared.losses if pair.tested]
    lowest = f"“{LOWEST}” is the arm of the lowest mean test loss"
    if not tested:
        return f"{lowest}; with one seed and without losses of windows no test says which others may be the best."
    methods = " or ".join(sorted({pair.method for pair in tested}))
    whom = (
        "" if any(pair.over_seeds for pair in tested) else " One seed tells of these trained models, not of the arms."
    )
    rivals = " or ".join(count(group.arms - 1, "arm") for group in compared.contenders)
    times = f" and by {compared.looks} looks at the data" if compared.looks > 1 else ""
    return (
        f"{lowest}; “{MAY_BE}” are the others that may be the best: the arm of the lowest expected loss is among these "
        f"and the lowest in at least 95 % of sweeps (each is tested against the lowest, {methods}, one-sided, p-values "
        f"multiplied by the {rivals} that it could have been tested against{times}; Gupta 1965). Arms without a mark "
        f"are not said to differ from one another.{whom}"
    )


def _letter(number: int) -> str:
    """a, b, ..., z, then a1, b1 and so on."""
    turn, place = divmod(number, len(ALPHABET))
    return ALPHABET[place] + (str(turn) if turn else "")
