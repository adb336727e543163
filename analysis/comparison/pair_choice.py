"""Which pairs of arms are tested: all of a few; of many those with the leader, and those of neighbours in the ranking.

1,000 arms have half a million pairs, which nobody reads. The losses choose the pairs, and the same losses then test
them. So any pair could have been chosen, and the adjustment of p-values counts every one.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise
from math import comb
from typing import NamedTuple

MOST_ARMS = 12
"""Arms up to which every pair is tested: 66 pairs."""

Pair = tuple[str, str]


class Pairs(NamedTuple):
    """Pairs to be tested.

    Attributes:
        pairs: labels of each pair.
        family: pairs that p-values are to be adjusted for, where these are chosen among them; None where they are all.
    """

    pairs: list[Pair]
    family: int | None


def are_many(arms: int) -> bool:
    """Whether so many arms of one table are too many for all their pairs."""
    return arms > MOST_ARMS


def choose_pairs(groups: Sequence[Sequence[str]], all_pairs: bool = False) -> Pairs:
    """Choose the pairs of one table.

    Args:
        groups: labels of the arms that compare with each other, best first; those of different groups do not compare.
        all_pairs: test every pair, however many arms there are.

    Returns:
        All pairs within the groups up to MOST_ARMS arms. Of more arms the first of each group with all others of it,
        and each arm with the next: at most twice as many pairs as arms.
    """
    if all_pairs or not are_many(sum(map(len, groups))):
        return Pairs([pair for group in groups for pair in combinations(group, 2)], None)
    chosen: dict[Pair, None] = {}
    for group in groups:
        chosen |= dict.fromkeys((group[0], other) for other in group[1:])
        chosen |= dict.fromkeys(pairwise(group))
    return Pairs(list(chosen), sum(comb(len(group), 2) for group in groups))
