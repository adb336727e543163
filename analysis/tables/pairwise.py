"""The table of pairs below a comparison table: how far every two arms lie apart in test loss, reward and wins."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.comparison.arms import Arm, reward_word
from analysis.comparison.comparisons import (
    AnyComparison,
    Comparison,
    Comparisons,
    WinComparison,
    beyond_resamples,
)
from analysis.comparison.pair_choice import Pair
from analysis.tables.columns import test_loss_heading
from analysis.wording.numbers import MISSING, show_interval, show_p
from basis.metrics import METRIC
from basis.outcomes import Outcome
from basis.scripts import as_called

MOST_PAIRS = 28
"""Pairs that a table shows, those of eight arms; of more it shows the pairs with the leader alone, unless all pairs are
asked for. Of many arms (see `pair_choice`) it shows what was tested."""

FORGETTING_DIFFERENCE = f"forgetting, {METRIC['forgetting'].unit}: first − second"
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


def pairwise_table(arms: list[Arm], compared: Comparisons, all_pairs: bool = False) -> PairwiseTable | None:
    """Make the table of pairs.

    Args:
        arms: the arms of a comparison table; those that did not finish are passed over.
        compared: the comparisons of its finished arms.
        all_pairs: show every pair, however many there are.

    Returns:
        The table, with pairs ordered by mean test loss; None where no pair can be compared. All pairs count in the
        adjustment of p-values, whether shown or not.
    """
    finished = [arm for arm in arms if arm.outcome == Outcome.FINISHED]
    finished.sort(key=lambda arm: (not arm.has_test_loss, arm.test_loss.estimate))
    places = {arm.label: place for place, arm in enumerate(finished)}
    losses, rewards = (_facing(some, places) for some in (compared.losses, compared.rewards))
    wins, forgetting = _facing(compared.wins, places), _facing(compared.forgetting, places)
    compared_pairs = losses.keys() | rewards.keys() | wins.keys() | forgetting.keys()
    tested = sorted(compared_pairs, key=lambda pair: (places[pair[0]], places[pair[1]]))
    if not tested:
        return None
    shown = tested
    if len(tested) > MOST_PAIRS and not compared.contenders and not all_pairs:
        shown = [pair for pair in tested if pair[0] == finished[0].label]
    word, loss_heading = reward_word(finished), f"{test_loss_heading(finished)}: first − second"
    rows = [
        _row(pair, losses.get(pair), forgetting.get(pair), rewards.get(pair), wins.get(pair), loss_heading, word)
        for pair in shown
    ]
    frame = pd.DataFrame(rows, dtype=str)
    frame = frame.loc[:, [not (frame[name] == MISSING).all() for name in frame]]
    notes = _notes(compared, word)
    if len(shown) < len(tested):
        leader = f"{finished[0].label}, the arm of the lowest mean test loss"
        notes.insert(
            0, f"Of {len(tested)} pairs these are the {len(shown)} with {leader}; all count in the adjustment."
        )
    elif compared.contenders and not all_pairs:
        every = f"{as_called('analysis.report')} EXPERIMENT_DIR --all-pairs"
        notes.insert(0, f"Of so many arms not all pairs are tested; {every} tests and shows them all.")
    return PairwiseTable(frame, notes)


def _facing(compared: list[AnyComparison], places: Mapping[str, int]) -> dict[Pair, AnyComparison]:
    """Comparisons by their pair, each told from the arm that comes first."""
    turned = (pair if places[pair.a] < places[pair.b] else pair.flipped for pair in compared)
    return {(pair.a, pair.b): pair for pair in turned}


def _row(
    pair: Pair,
    loss: Comparison | None,
    forgetting: Comparison | None,
    reward: Comparison | None,
    wins: WinComparison | None,
    loss_heading: str,
    word: str,
) -> dict[str, str]:
    counts = f"{wins.wins}/{wins.ties}/{wins.losses}, {show_p(wins.p_value)}" if wins else MISSING
    return {
        "first": pair[0],
        "second": pair[1],
        loss_heading: _difference(loss, 4),
        FORGETTING_DIFFERENCE: _difference(forgetting, 4),
        f"{word}: first − second": _difference(reward, 2),
        WINS: counts,
        TOLD_APART: _told_apart({"test loss": loss, "forgetting": forgetting, word: reward}, wins),
    }


def _difference(pair: Comparison | None, digits: int) -> str:
    if pair is None:
        return MISSING
    p_value = show_p(pair.p_value) if pair.tested else "no test"
    return f"{show_interval(pair.difference, digits, signed=True)}, {p_value}"


def _told_apart(compared: Mapping[str, Comparison | None], wins: WinComparison | None) -> str:
    """Which of the two is better by what; an asterisk where that speaks of the trained models alone."""
    better: dict[str, list[str]] = {"first": [], "second": []}
    for name, pair in compared.items():
        if pair is not None and pair.differs:
            better["first" if pair.a_is_better else "second"].append(name if pair.over_seeds else f"{name}*")
    if wins is not None and wins.differs:
        better["first" if wins.wins > wins.losses else "second"].append("wins*")
    return "; ".join(f"{which} better in {', '.join(names)}" for which, names in better.items() if names) or "no"


def _notes(compared: Comparisons, word: str) -> list[str]:
    losses, rewards, wins = compared.losses, compared.rewards, compared.wins
    notes = []
    for name, pairs, adjustment in (
        ("Test loss", losses, compared.losses_adjusted),
        ("Forgetting, of arms of one base model", compared.forgetting, compared.forgetting_adjusted),
        (word.capitalize(), rewards, compared.rewards_adjusted),
    ):
        if methods := sorted({pair.method for pair in pairs if pair.tested}):
            notes.append(f"{name}: {' or '.join(methods)}, {adjustment}.")
    if beyond := beyond_resamples(rewards, compared.looks):
        notes.append(beyond)
    if wins:
        notes.append(f"Wins: exact sign test over prompts, ties set apart, {compared.wins_adjusted}.")
    if not all(pair.same_rows for pair in losses):
        notes.append("Test losses of arms that are tested on other rows of text are not tested against each other.")
    if losses or rewards or compared.forgetting:
        notes.append("Intervals are 95 % for each difference by itself; p-values are adjusted, and judged at 5 %.")
    if wins or any(not pair.over_seeds and pair.same_rows for pair in (*losses, *rewards, *compared.forgetting)):
        notes.append("* Told apart as these trained models, by a test that does not take in the choice of seeds.")
    return notes
