"""The table of pairs below a comparison table: how far every two arms lie apart in test loss, reward and wins."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.compare import compare
from analysis.comparison.pair_choice import Pair
from analysis.comparison.pairs import Compared, Comparison, WinComparison, adjustment, beyond_resamples
from analysis.tables.columns import MISSING, TEST_LOSS, show_interval
from analysis.wording.phrases import show_p
from basis.outcomes import Outcome

MOST_PAIRS = 28
"""Pairs that a table shows, those of eight arms; of more it shows the pairs with the leader alone, unless all pairs are
asked for. Of many arms (see `pair_choice`) it shows what was tested."""

ON_DEMAND = "python -m analysis.report EXPERIMENT_DIR --all-pairs"

TEST_LOSS_DIFFERENCE = f"{TEST_LOSS}: first − second"
REWARD_DIFFERENCE = "reward: first − second"
WINS = "wins of first / ties / wins of second"
TOLD_APART = "told apart"


@dataclass(frozen=True)
class PairwiseTable:
    """The pairs of a table.

    Attributes:
        frame: printable strings, one row per pair.
        notes: the tests behind its numbers, one sentence or two each.
    """

    frame: pd.DataFrame
    notes: list[str]


def pairwise_table(
    arms: list[Arm], looks: int, all_pairs: bool = False, compared: Compared | None = None
) -> PairwiseTable | None:
    """Make the table of pairs.

    Args:
        arms: the arms of a comparison table; those that did not finish are passed over.
        looks: see `comparisons.looks_at`.
        all_pairs: show every pair, and test every pair even of many arms.
        compared: the comparisons of its finished arms, if they have been made.

    Returns:
        The table, with pairs ordered by mean test loss; None where no pair can be compared. All pairs count in the
        adjustment of p-values, whether shown or not.
    """
    finished = [arm for arm in arms if arm.outcome == Outcome.FINISHED]
    finished.sort(key=lambda arm: (not arm.values("test_loss"), arm.mean("test_loss").estimate))
    places = {arm.label: place for place, arm in enumerate(finished)}
    made = compared or compare(finished, looks, all_pairs)
    losses, rewards = (_facing(some, places) for some in (made.losses, made.rewards))
    wins = _facing_wins(made.wins, places)
    found = sorted(losses.keys() | rewards.keys() | wins.keys(), key=lambda pair: (places[pair[0]], places[pair[1]]))
    if not found:
        return None
    shown = found
    if len(found) > MOST_PAIRS and not made.contenders and not all_pairs:
        shown = [pair for pair in found if pair[0] == finished[0].label]
    rows = [_row(pair, losses.get(pair), rewards.get(pair), wins.get(pair)) for pair in shown]
    frame = pd.DataFrame(rows, dtype=str)
    frame = frame.loc[:, [not (frame[name] == MISSING).all() for name in frame]]
    notes = _notes(made, looks)
    if len(shown) < len(found):
        leader = f"{finished[0].label}, the arm of the lowest mean test loss"
        notes.insert(0, f"Of {len(found)} pairs these are the {len(shown)} with {leader}; all count in the adjustment.")
    elif made.contenders and not all_pairs:
        notes.insert(0, f"Of so many arms not all pairs are tested; {ON_DEMAND} tests and shows them all.")
    return PairwiseTable(frame, notes)


def _facing(compared: list[Comparison], places: Mapping[str, int]) -> dict[Pair, Comparison]:
    """Comparisons by their pair, each told from the arm that comes first."""
    turned = (one if places[one.a] < places[one.b] else one.flipped for one in compared)
    return {(one.a, one.b): one for one in turned}


def _facing_wins(compared: list[WinComparison], places: Mapping[str, int]) -> dict[Pair, WinComparison]:
    turned = (one if places[one.a] < places[one.b] else one.flipped for one in compared)
    return {(one.a, one.b): one for one in turned}


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


def _notes(compared: Compared, looks: int) -> list[str]:
    losses, rewards, wins = compared.losses, compared.rewards, compared.wins
    notes = []
    for name, some in (("Test loss", losses), ("Reward", rewards)):
        tested = [one for one in some if one.tested]
        if tested:
            tests = " or ".join(sorted({one.method for one in tested}))
            notes.append(f"{name}: {tests}, {adjustment(some, looks)}.")
    if beyond := beyond_resamples(rewards, looks):
        notes.append(beyond)
    if wins:
        notes.append(f"Wins: exact sign test over prompts, ties set apart, {adjustment(wins, looks)}.")
    if losses or rewards:
        notes.append("Intervals are 95 % for each difference by itself; p-values are adjusted, and judged at 5 %.")
    if wins or any(not one.over_seeds for one in (*losses, *rewards)):
        notes.append("* Told apart as these trained models, by a test that does not take in the choice of seeds.")
    return notes
