"""Pages for the tests in a browser: reports of fabricated numbers, with a summary made by hand."""

import dataclasses
import math

from analysis.comparison.arms import Arm
from analysis.comparison.grouping import group_arms
from analysis.page.content import Content, content_of
from analysis.page.html_page import to_html
from analysis.results.experiment import Results
from analysis.statistics.intervals import Interval
from analysis.verdict.summary import Board, Doubt, Place, Summary, Trust, Verdict
from analysis.wording.values import show_field
from basis.outcomes import Outcome
from tests import synthetic_experiment as synthetic

UNKNOWN = Interval(math.nan, math.nan, math.nan)
REMEDY = "python -m sweep.run study.yaml --set seeds=3"


def place(arm: Arm, rank: int | None, best: Arm) -> Place:
    """An arm's place, with whatever a report would have worked out set down by hand."""
    loss, wins = arm.test_loss, arm.wins
    gap = loss.estimate - best.test_loss.estimate
    tested = rank not in (None, 1)
    return Place(
        rank=rank,
        label=arm.label,
        state=arm.outcome,
        seeds=len(arm.seeds),
        lr=show_field(arm.config["lr"]),
        loss=loss if loss.known else Interval(loss.estimate, loss.estimate - 0.02, loss.estimate + 0.02),
        gap=Interval(gap, gap - 0.01, gap + 0.01) if tested else UNKNOWN,
        differs=gap > 0.01 if tested else None,
        p_value=0.001 if tested else math.nan,
        wins=wins.wins if wins else None,
        losses=wins.losses if wins else None,
        won=True if wins and wins.wins > 2 * wins.losses else None,
        peak_bytes=arm.largest("peak_bytes"),
        train_seconds=arm.mean("train_seconds").estimate,
        forgetting=UNKNOWN,
    )


def summary_of(results: Results) -> Summary:
    """A summary whose words are made up and whose numbers are those of the arms."""
    arms = group_arms(results)
    finished = sorted((arm for arm in arms if arm.outcome == Outcome.FINISHED), key=lambda arm: arm.test_loss.estimate)
    best = finished[0]
    places = [place(arm, rank, best) for rank, arm in enumerate(finished, 1)]
    places += [place(arm, None, best) for arm in arms if arm.outcome != Outcome.FINISHED]
    base = best.mean("test_loss_base").estimate
    verdicts = (
        Verdict("lowest_loss", "Lowest loss", (best.label,), best.label,
                (f"{best.test_loss.estimate:.4f} nats/token", "wins 34-4"),
                ("A paired t test over windows, Holm-adjusted for 6 pairs.",)),
        Verdict("saves_memory", "Saves memory", (finished[-1].label,), finished[-1].label,
                ("-20 % memory", "loss +0.020 [0.016, 0.024]"), ("Tests of two arms, Bonferroni-adjusted.",)),
        Verdict("saves_time", "Saves time", (), "nothing can be told: trials ran side by side", (), ()),
        Verdict("avoid", "Avoid", (finished[-2].label,), finished[-2].label,
                ("more memory and higher loss",), ("Dominated beyond chance.",)),
    )  # fmt: skip
    doubts = (
        Doubt("one seed", "One run cannot show how far another seed would move a loss.", REMEDY, "low"),
        Doubt("rates not tuned", "Each arm ran at one learning rate.", "python -m sweep.run fair", "medium"),
    )
    board = Board("", "test_loss", "nats/token", base, False, tuple(places))
    return Summary(verdicts, Trust("low", doubts), (board,))


def content_with_summary(results: Results) -> Content:
    """The content of a report of these results, summed up by hand."""
    return dataclasses.replace(content_of(results), summary=summary_of(results))


def small_page() -> str:
    """A report of seven arms, one of which did not finish, and of a label that looks like markup."""
    changes = [
        {"method": "full", "rank": None, "lr": 2e-4},
        {"rank": 1},
        {"rank": 10},
        {"rank": 100},
        {"optimizer": "sgd"},
        {"optimizer": "momentum"},
        {"optimizer": "muon", "outcome": Outcome.FAILED},
    ]
    return to_html(content_with_summary(synthetic.in_memory(*changes)))


def long_page(arms: int) -> str:
    """A report whose leaderboard has so many arms, of ten ranks, their memory in no order."""
    content = content_with_summary(synthetic.in_memory({"rank": 1}, {"rank": 10}))
    (board,) = content.summary.boards
    first = board.places[1]
    places = [
        dataclasses.replace(first, rank=rank, label=f"arm {rank}", peak_bytes=1e9 * (rank * 7919 % arms + 1))
        for rank in range(1, arms + 1)
    ]
    summary = dataclasses.replace(content.summary, boards=(dataclasses.replace(board, places=tuple(places)),))
    factors = {place.label: {"rank": str(number % 10)} for number, place in enumerate(places)}
    return to_html(dataclasses.replace(content, summary=summary, factors=factors))
