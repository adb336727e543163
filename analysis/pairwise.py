"""The table of pairs below a comparison table: how far every two arms lie apart in test loss, reward and wins."""

from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from analysis.arms import Arm
from analysis.columns import MISSING, TEST_LOSS, show_interval
from analysis.comparisons import Comparison, WinComparison, compare_rewards, compare_test_losses, compare_wins
from analysis.outcomes import FINISHED
from analysis.phrases import holm_adjusted, show_p

MOST_PAIRS = 28
"""Pairs that a table shows, those of eight arms; of more arms it shows the pairs with the leader alone."""

TEST_LOSS_DIFFERENCE = f"{TEST_LOSS}: first − second"
REWARD_DIFFERENCE = "reward: first − second"
WINS = "wins of first / ties / wins of second"
TOLD_APART = "told apart"

Pair = tuple[str, str]


@dataclass(frozen=True)
class PairwiseTable:
    """The pairs of a table.

    Attributes:
        frame: printable strings, one row per pair.
        notes: the tests behind its numbers, one sentence or two each.
    """

    frame: pd.DataFrame
    notes: list[str]


def pairwise_table(arms: list[Arm], looks: int) -> PairwiseTable | None:
    """Make the table of pairs.

    Args:
        arms: the arms of a comparison table; those that did not finish are passed over.
        looks: see `comparisons.looks_at`.

    Returns:
        The table, with pairs ordered by mean test loss; None where no pair can be compared. All pairs count in the
        adjustment of p-values, whether shown or not.
    """
    finished = [arm for arm in arms if arm.outcome == FINISHED]
    finished.sort(key=lambda arm: (not arm.values("test_loss"), arm.mean("test_loss").estimate))
    losses = {(one.a, one.b): one for one in compare_test_losses(finished, looks)}
    rewards = {(one.a, one.b): one for one in compare_rewards(finished, looks)}
    wins = {(one.a, one.b): one for one in compare_wins(finished, looks)}
    found: list[Pair] = [
        (a.label, b.label)
        for a, b in combinations(finished, 2)
        if {(a.label, b.label)} & (losses.keys() | rewards.keys() | wins.keys())
    ]
    if not found:
        return None
    shown = found if len(found) <= MOST_PAIRS else [pair for pair in found if pair[0] == finished[0].label]
    rows = [_row(pair, losses.get(pair), rewards.get(pair), wins.get(pair)) for pair in shown]
    frame = pd.DataFrame(rows, dtype=str)
    frame = frame.loc[:, [not (frame[name] == MISSING).all() for name in frame]]
    notes = _notes(list(losses.values()), list(rewards.values()), list(wins.values()), looks)
    if len(shown) < len(found):
        leader = f"{finished[0].label}, the arm of the lowest mean test loss"
        notes.insert(0, f"Of {len(found)} pairs these are the {len(shown)} with {leader}; all count in the adjustment.")
    return PairwiseTable(frame, notes)


def _row(pair: Pair, loss: Comparison | None, reward: Comparison | None, wins: WinComparison | None) -> dict[str, str]:
    counts = f"{wins.wins}/{wins.ties}/{wins.losses}, {show_p(wins.p_value)}" if wins else MISSING
    return {
        "first": pair[0],
        "second": pair[1],
        TEST_LOSS_DIFFERENCE: _difference(loss, 4),
        REWARD_DIFFERENCE: _difference(reward, 2),
        WINS: counts,
        TOLD_APART: _told_apart(loss, reward, wins),
    }


def _difference(one: Comparison | None, digits: int) -> str:
    if one is None:
        return MISSING
    return f"{show_interval(one.difference, digits, signed=True)}, {show_p(one.p_value) if one.tested else 'no test'}"


def _told_apart(loss: Comparison | None, reward: Comparison | None, wins: WinComparison | None) -> str:
    """Which of the two is better by what; an asterisk where that speaks of the trained models alone."""
    better: dict[str, list[str]] = {"first": [], "second": []}
    for name, one in (("test loss", loss), ("reward", reward)):
        if one is not None and one.differs:
            better["first" if one.a_is_better else "second"].append(name if one.over_seeds else f"{name}*")
    if wins is not None and wins.differs:
        better["first" if wins.wins > wins.losses else "second"].append("wins*")
    return "; ".join(f"{which} better in {', '.join(names)}" for which, names in better.items() if names) or "no"


def _notes(losses: list[Comparison], rewards: list[Comparison], wins: list[WinComparison], looks: int) -> list[str]:
    notes = []
    for name, compared in (("Test loss", losses), ("Reward", rewards)):
        tested = [one for one in compared if one.tested]
        if tested:
            tests = " or ".join(sorted({one.method for one in tested}))
            notes.append(f"{name}: {tests}, {holm_adjusted(len(tested), 'pair', looks)}.")
    if wins:
        notes.append(f"Wins: exact sign test over prompts, ties set apart, {holm_adjusted(len(wins), 'pair', looks)}.")
    if losses or rewards:
        notes.append("Intervals are 95 % for each difference by itself; p-values are adjusted, and judged at 5 %.")
    if wins or any(not one.over_seeds for one in (*losses, *rewards)):
        notes.append("* Told apart as these trained models, by a test that does not take in the choice of seeds.")
    return notes
