"""What the comparison of two arms has found, by a number or prompt by prompt, and what that of a whole table has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from analysis.statistics.bootstrap import RESAMPLES
from analysis.statistics.intervals import Interval
from analysis.statistics.multiple_tests import ALPHA, Tested, holm
from analysis.wording.phrases import holm_adjusted


@dataclass(frozen=True)
class Comparison(Tested):
    """Two arms compared by a number.

    Attributes:
        a: label of the arm that comes first in its table.
        b: label of the other.
        a_is_better: whether the number of `a` is the better one.
        difference: number of `a` minus that of `b`, with its 95 % interval, which is not adjusted for anything.
        p_value: adjusted for all pairs of the table, and for the looks at the data; NaN where nothing could be tested.
        method: name of the test.
        seeds: common seeds that the comparison stands on, or the fewer seeds of the two arms where they share none.
        cases: windows or prompts that the test takes as a sample; 0 where it takes none.
        over_seeds: whether the test takes in the choice of seeds, without which it speaks of the trained models alone.
        family: pairs that the p-value is adjusted for, where the pairs tested are chosen among them; None where every
            pair is tested.
        same_rows: whether both arms are tested on the same rows; no test compares them otherwise.
    """

    a: str
    b: str
    a_is_better: bool
    difference: Interval
    p_value: float
    method: str
    seeds: int
    cases: int
    over_seeds: bool
    family: int | None = None
    same_rows: bool = True

    @property
    def better(self) -> str:
        """Label of the arm with the better number."""
        return self.a if self.a_is_better else self.b

    @property
    def worse(self) -> str:
        """Label of the other arm."""
        return self.b if self.a_is_better else self.a

    @property
    def gap(self) -> Interval:
        """The larger number minus the smaller one."""
        estimate, low, high = self.difference
        return self.difference if estimate >= 0 else Interval(-estimate, -high, -low)

    @property
    def flipped(self) -> "Comparison":
        """The same, told from the other arm."""
        estimate, low, high = self.difference
        turned = Interval(-estimate, -high, -low)
        return replace(self, a=self.b, b=self.a, a_is_better=not self.a_is_better, difference=turned)


@dataclass(frozen=True)
class WinComparison(Tested):
    """Two arms compared prompt by prompt.

    Attributes:
        a: label of the arm that comes first in its table.
        b: label of the other.
        wins: prompts on which `a` gets the higher reward, in more common seeds than `b` does.
        ties: prompts on which neither does.
        losses: prompts on which `b` does.
        p_value: of the exact sign test of wins against losses, adjusted like that of a `Comparison`.
        family: as in a `Comparison`.
    """

    a: str
    b: str
    wins: int
    ties: int
    losses: int
    p_value: float
    family: int | None = None

    @property
    def flipped(self) -> "WinComparison":
        """The same, told from the other arm."""
        return replace(self, a=self.b, b=self.a, wins=self.losses, losses=self.wins)


AnyComparison = TypeVar("AnyComparison", Comparison, WinComparison)


class Contenders(NamedTuple):
    """Which of many arms may have the lowest expected test loss, among arms that are tested on the same windows.

    Attributes:
        leader: label of the arm of the lowest mean.
        candidates: labels of the arms among which the best one is in at least 95 % of sweeps, best first, the leader
            among them.
        arms: how many arms they are taken from.
    """

    leader: str
    candidates: list[str]
    arms: int


class Comparisons(NamedTuple):
    """The comparisons of a table's finished arms.

    Attributes:
        losses: pairs by last test loss.
        rewards: pairs by reward.
        wins: pairs prompt by prompt.
        forgetting: pairs of arms of one base model by forgetting, on the same windows of general text.
        contenders: which of many arms may be the best; empty where there are few, of which all pairs are tested.
        looks: see `choices.looks_at`.
        losses_adjusted: how the p-values of `losses` were adjusted, in words; see `adjustment`.
        rewards_adjusted: the same of `rewards`.
        wins_adjusted: the same of `wins`.
        forgetting_adjusted: the same of `forgetting`.
    """

    losses: list[Comparison]
    rewards: list[Comparison]
    wins: list[WinComparison]
    forgetting: list[Comparison]
    contenders: list[Contenders]
    looks: int
    losses_adjusted: str
    rewards_adjusted: str
    wins_adjusted: str
    forgetting_adjusted: str


def adjusted(pairs: Sequence[AnyComparison], looks: int) -> list[AnyComparison]:
    """Adjust the p-values of a table's pairs by Holm's method.

    Args:
        pairs: comparisons with plain p-values; their `family` counts the pairs that these were chosen among.
        looks: see `choices.looks_at`.

    Returns:
        The same comparisons with adjusted p-values.
    """
    family = pairs[0].family if pairs else None
    p_values = holm([pair.p_value for pair in pairs], looks, family)
    return [replace(pair, p_value=p_value) for pair, p_value in zip(pairs, p_values, strict=True)]


def adjustment(compared: Sequence[Comparison] | Sequence[WinComparison], looks: int) -> str:
    """How the p-values of a table's pairs were adjusted, such as "Holm-adjusted for 6 pairs", and for which family."""
    tested = sum(pair.tested for pair in compared)
    family = compared[0].family if compared else None
    if family is None:
        return holm_adjusted(tested, "pair", looks)
    return (
        f"{holm_adjusted(family, 'pair', looks)}, any of which could have come to be among the {len(compared):,} "
        "tested: those with the leader and those of neighbours in the ranking"
    )


def beyond_resamples(rewards: Sequence[Comparison], looks: int) -> str:
    """A sentence where pairs are so many that no bootstrap of as many resamples can tell one apart; empty otherwise."""
    family = max((pair.family or len(rewards) for pair in rewards), default=0)
    smallest = 1 / (RESAMPLES + 1)
    if smallest * family * looks < ALPHA:
        return ""
    return (
        f"A bootstrap of {RESAMPLES:,} resamples has no p-value below {smallest:.4f}, so that no pair of {family:,} "
        "can be told apart by reward, however far they lie apart."
    )
