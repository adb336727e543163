"""Which learning rates a table's arms tried, in which groups, and where in that range the best one lies."""

from typing import NamedTuple

from analysis.comparison.arms import Arm
from analysis.comparison.fields import varying_fields
from analysis.wording.values import show_field, texts_apart
from basis.outcomes import Outcome


class RateRange(NamedTuple):
    """Arms that differ in their learning rate alone.

    Attributes:
        group: the fields in which they differ from other groups, such as "rank=10"; empty where there is one group.
        members: the arms, those that diverged or failed too, since their rates were tried.
        best: the finished arm of the lowest last test loss.
    """

    group: str
    members: list[Arm]
    best: Arm

    @property
    def rates(self) -> list[float]:
        """The different rates tried, ascending."""
        return sorted({float(arm.config["lr"]) for arm in self.members})

    @property
    def at_edge(self) -> bool:
        """Whether the best rate is the lowest or the highest tried, so that a better one may lie beyond it."""
        return float(self.best.config["lr"]) in (self.rates[0], self.rates[-1])


def rate_ranges(arms: list[Arm]) -> list[RateRange]:
    """Group arms that differ in their learning rate alone.

    Args:
        arms: all arms of a table, whatever became of them.

    Returns:
        The groups in which two rates or more were tried and some arm finished, in the order of the arms.
    """
    others = [name for name in varying_fields(arms) if name != "lr"]
    tried = [
        arm
        for arm in arms
        if isinstance(arm.config.get("lr"), (int, float)) and arm.outcome not in (Outcome.NOT_STARTED, Outcome.REPEATED)
    ]
    groups: dict[str, list[Arm]] = {}  # by exact values: two that print alike are two
    for arm in tried:
        groups.setdefault(repr([arm.config.get(name) for name in others]), []).append(arm)
    names = _names([members[0] for members in groups.values()], others)
    ranges = []
    for name, members in zip(names, groups.values(), strict=True):
        done = [arm for arm in members if arm.outcome == Outcome.FINISHED and arm.has_test_loss]
        if len({float(arm.config["lr"]) for arm in members}) > 1 and done:
            ranges.append(RateRange(name, members, min(done, key=lambda arm: arm.test_loss.estimate)))
    return ranges


def _names(firsts: list[Arm], fields: list[str]) -> list[str]:
    """What to call groups by the fields in which they differ, with the digits that it takes to tell them apart."""

    def names(digits: int) -> list[str]:
        return [" ".join(f"{name}={show_field(arm.config.get(name), digits)}" for name in fields) for arm in firsts]

    return texts_apart(names)
