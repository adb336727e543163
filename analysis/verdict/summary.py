"""What the first screen of a report says: verdicts, how far to trust them, and the arms from best to worst.

Plain values, so that a terminal, a page and a live page show the same.
"""

from dataclasses import dataclass
from typing import Literal

from analysis.statistics.intervals import Interval

Kind = Literal["lowest_loss", "saves_memory", "saves_time", "avoid"]
"""What a verdict answers: which arm is best, which one costs less and what that costs in loss, which one to avoid."""

Level = Literal["low", "medium", "high"]
"""How far the verdicts can be trusted."""


@dataclass(frozen=True)
class Verdict:
    """One answer of the first screen.

    Attributes:
        kind: what it answers.
        title: the same in a word or two: "Lowest loss".
        arms: labels of the arms that it names; empty where none can be named.
        headline: the arms as printed, or in a few words why none can be named.
        facts: what speaks for it, a few words each, the most telling first: "0.388 (base 0.453)", "wins 74-37".
        why: how we know: sentences with tests, corrections and p-values.
    """

    kind: Kind
    title: str
    arms: tuple[str, ...]
    headline: str
    facts: tuple[str, ...]
    why: tuple[str, ...]


@dataclass(frozen=True)
class Doubt:
    """A reason to trust the verdicts less.

    Attributes:
        reason: in a few words: "one seed".
        detail: the whole of it, a sentence or two.
        remedy: the command that would remove it, ready to copy; empty where there is none.
        level: what it allows at most.
    """

    reason: str
    detail: str
    remedy: str
    level: Level


@dataclass(frozen=True)
class Trust:
    """How far the verdicts can be trusted: as far as the gravest doubt allows."""

    level: Level
    doubts: tuple[Doubt, ...]


@dataclass(frozen=True)
class Place:
    """An arm's place among those that compare with it.

    Attributes:
        rank: 1 for the lowest mean test loss; None for an arm that did not finish.
        label: the arm.
        state: how it ended.
        seeds: how many finished.
        lr: its learning rate as printed; empty where it has none.
        loss: mean last test loss with its interval over seeds, in the unit of the board.
        gap: loss minus that of the best, with the interval of the test; all NaN for the best itself.
        differs: whether a test tells the arm from the best; None without a test, and for the best itself.
        p_value: of that test, adjusted; NaN without one.
        wins: prompts won against the base model, over all seeds; None without rewards.
        losses: prompts lost likewise.
        won: whether wins exceed losses beyond chance (True), the other way round (False), or neither (None).
        peak_bytes: peak memory, the largest over the seeds; NaN where unknown.
        train_seconds: mean training time; NaN where times do not compare.
        forgetting: rise of the loss on general text; all NaN where it was not measured.
    """

    rank: int | None
    label: str
    state: str
    seeds: int
    lr: str
    loss: Interval
    gap: Interval
    differs: bool | None
    p_value: float
    wins: int | None
    losses: int | None
    won: bool | None
    peak_bytes: float
    train_seconds: float
    forgetting: Interval


@dataclass(frozen=True)
class Board:
    """The leaderboard of arms whose test losses compare, best first.

    Attributes:
        title: empty where the sweep has one board; else what its arms share.
        metric: the loss that ranks them.
        unit: of `metric`.
        base_loss: the base model's test loss; NaN where unknown.
        common_seeds: whether a gap is that of the seeds that its arm and the best both have, where these are not all
            seeds of both: then it is not the difference of their losses.
        places: finished arms, best first, then the others.
    """

    title: str
    metric: str
    unit: str
    base_loss: float
    common_seeds: bool
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Summary:
    """The first screen.

    Attributes:
        verdicts: in reading order.
        trust: how far they can be trusted.
        boards: a leaderboard for each kind of windows that arms are tested on; one in most sweeps.
    """

    verdicts: tuple[Verdict, ...]
    trust: Trust
    boards: tuple[Board, ...]
