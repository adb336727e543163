"""The columns of a comparison table: what each cell says of an arm, and how numbers are printed."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.forgetting import Forgetting
from analysis.comparison.loss_metric import by_text
from analysis.wording.numbers import MISSING, show_bytes, show_interval, show_number, show_p, show_parameters
from analysis.wording.values import show_field
from basis.metrics import METRIC
from basis.outcomes import FAILURES, NOT_COMPARED, Outcome

TEST_LOSS = f"test loss, {METRIC['test_loss'].unit}"
BITS_PER_BYTE = f"test loss, {METRIC['test_bits_per_byte'].unit}"
PERPLEXITY = "perplexity"
BEST_LOSS = "best test loss @ step"
RIGHT_ANSWERS = "share of right answers"
MORE_RIGHT = "right answers against base"
FORGETTING = f"forgetting, {METRIC['forgetting'].unit}"
"""Heading of the column of a table whose trials were tested on general text; `tables` adds it."""
FORGETTING_LETTERS = "letters by forgetting"
SPEED = "tokens_per_second"
LETTERS = "letters"
"""Heading of the column that says which arms cannot be told apart; `tables` adds it where there is something to say."""
BEST_ARM = "best arm"
"""Heading of the column that stands there instead in a table of many arms, whose pairs are not all tested."""
CORE_COLUMNS = 6
"""Columns of a table that a page shows at once; the others are shown by choice."""
MEMORY_FACTORS = ("optimizer",)
"""Factors whose table shows where the memory goes rather than the details of the rewards."""


class Column(NamedTuple):
    """A column: heading, the text of a cell, and how early it is kept where space is short (0 first)."""

    heading: str
    cell: Callable[[Arm], str]
    rank: int


def columns_for(factor: str | None, arms: Sequence[Arm]) -> list[Column]:
    """The columns of a table: what memory goes into where optimizers are compared, the details of rewards elsewhere.

    Args:
        factor: the field that it compares, if any.
        arms: its arms. Where they are compared in bits per byte, losses that do not compare across them are left out.
    """
    columns = [*_common(), *(_costs() if factor in MEMORY_FACTORS else _rewards()), *_speed()]
    return [column for column in columns if not (by_text(arms) and column.heading in (TEST_LOSS, PERPLEXITY))]


def test_loss_heading(arms: Sequence[Arm]) -> str:
    """Heading of the column of the test losses by which these arms are compared."""
    return BITS_PER_BYTE if by_text(arms) else TEST_LOSS


def console_columns(frame: pd.DataFrame, width: int) -> dict[str, int]:
    """The columns that fit into a terminal, the most telling ones first, in their own order.

    Args:
        frame: the frame of a table.
        width: characters of a line.

    Returns:
        Width of each column to print by heading, at least the first; headings wrap between words.
    """
    ranks = _ranks(frame)
    kept: dict[str, int] = {}
    for name in sorted(frame.columns, key=lambda name: ranks.get(name, 99)):
        needed = max([*(len(word) for word in name.split(" ")), *(len(cell) for cell in frame[name])])
        if not kept or sum(kept.values()) + 2 * len(kept) + needed <= width:  # two blanks between columns
            kept[name] = needed
    return {name: kept[name] for name in frame.columns if name in kept}


def core_columns(frame: pd.DataFrame) -> list[str]:
    """The CORE_COLUMNS most telling columns of a table's frame, in their own order."""
    ranks = _ranks(frame)
    core = sorted(frame.columns, key=lambda name: ranks.get(name, 99))[:CORE_COLUMNS]
    return [name for name in frame.columns if name in core]


def _ranks(frame: pd.DataFrame) -> dict[str, int]:
    """How early each column of a table's frame is kept where space is short, by its heading."""
    ranks = {column.heading: column.rank for column in (*_common(), *_costs(), *_rewards(), *_speed())} | {
        LETTERS: 3,
        BEST_ARM: 3,
        FORGETTING: 3,
        FORGETTING_LETTERS: 4,
    }
    if TEST_LOSS not in frame:  # models whose tokenizers differ are compared by the byte
        ranks[BITS_PER_BYTE] = ranks[TEST_LOSS]
    return ranks


def show_seeds(arm: Arm) -> str:
    """The seeds behind a row, and what became of the other trials of the arm."""
    used = set(arm.used["trial"])
    others = arm.trials.where([trial not in used for trial in arm.trials["trial"]])
    lost = [f"{count} {outcome}" for outcome, count in Counter(others["outcome"]).most_common()]
    return ", ".join(map(str, arm.seeds)) + (f" ({', '.join(lost)})" if lost else "")


def show_best_steps(arm: Arm) -> str:
    """The step of the lowest test loss, or the range of the seeds' steps; a dash without any."""
    steps = arm.values("test_loss_best_step")
    return " to ".join(dict.fromkeys(f"{step:,.0f}" for step in (min(steps), max(steps)))) if steps else MISSING


def show_forgetting(forgotten: Forgetting) -> str:
    """How far the loss on general text rose, and the adjusted p-value of "not at all"."""
    rise = show_interval(forgotten.rise, 4, signed=True)
    return f"{rise}, {show_p(forgotten.p_value)}" if math.isfinite(forgotten.p_value) else rise


def _common() -> list[Column]:
    unit = METRIC["test_loss"].unit
    return [
        Column("arm", lambda arm: arm.label, 0),
        Column("state", _state, 1),
        Column("seeds", show_seeds, 8),
        Column("sweep", _sweeps, 4),
        Column("learning rate", lambda arm: show_field(arm.config["lr"]) if "lr" in arm.config else MISSING, 5),
        Column(f"train loss, {unit}", lambda arm: _loss(arm, "train_loss"), 6),
        Column(TEST_LOSS, lambda arm: _loss(arm, "test_loss"), 2),
        Column(BITS_PER_BYTE, _bits_per_byte, 8),
        Column(BEST_LOSS, _best, 7),
    ]


def _rewards() -> list[Column]:
    return [
        Column(PERPLEXITY, _perplexity, 11),
        Column(RIGHT_ANSWERS, _right_answers, 3),
        Column("win rate", _win_rate, 3),
        Column("wins / ties / losses", _counts, 9),
        Column("reward margin", lambda arm: MISSING if arm.held_to_answers else _margin(arm), 10),
        Column(MORE_RIGHT, lambda arm: _margin(arm) if arm.held_to_answers else MISSING, 10),
        Column(
            "trainable parameters", lambda arm: _measured(arm, show_parameters(arm.largest("trainable_parameters"))), 12
        ),
        Column("peak memory", lambda arm: _bytes(arm, "peak_bytes"), 4),
    ]


def _costs() -> list[Column]:
    return [
        Column(RIGHT_ANSWERS, _right_answers, 3),
        Column("win rate", _win_rate, 3),
        Column("peak memory", lambda arm: _bytes(arm, "peak_bytes"), 4),
        Column("optimizer state", lambda arm: _bytes(arm, "optimizer_state_bytes"), 4),
        Column("retained delta", lambda arm: _bytes(arm, "retained_delta_bytes"), 5),
    ]


def _speed() -> list[Column]:
    return [Column("tokens/s", lambda arm: show_number(arm.mean(SPEED).estimate, 0) if arm.trained else MISSING, 8)]


def _state(arm: Arm) -> str:
    if arm.outcome in (Outcome.FINISHED, *FAILURES) or "step" not in arm.used:
        return arm.outcome
    if arm.outcome == Outcome.DIVERGED and (steps := arm.values("diverged_step")):
        return f"{Outcome.DIVERGED} at step {show_number(min(steps), 0)}"
    if arm.outcome == Outcome.DIVERGED:
        return f"{Outcome.DIVERGED} after step {show_number(arm.largest('step'), 0)}"
    last, planned = arm.largest("step"), arm.config.get("steps")
    return f"{arm.outcome}, step {show_number(last, 0)}" + (f" of {planned:,}" if isinstance(planned, int) else "")


def _sweeps(arm: Arm) -> str:
    """The sweeps that the row's trials come from, where there are several; else the table has no such column."""
    return ", ".join(dict.fromkeys(arm.used["sweep"])) if "sweep" in arm.used else MISSING


def _loss(arm: Arm, name: str) -> str:
    if arm.outcome == Outcome.DIVERGED:
        return Outcome.DIVERGED
    return _measured(arm, show_interval(arm.mean(name), 4))


def _bits_per_byte(arm: Arm) -> str:
    """In directories made before there are none, and then the table has no such column."""
    return _loss(arm, "test_bits_per_byte") if arm.values("test_bits_per_byte") else MISSING


def _perplexity(arm: Arm) -> str:
    """Mean perplexity; its interval would repeat that of the test loss."""
    return (
        Outcome.DIVERGED
        if arm.outcome == Outcome.DIVERGED
        else _measured(arm, show_number(arm.mean("test_perplexity").estimate, 2))
    )


def _best(arm: Arm) -> str:
    """The lowest test loss; with several seeds the mean of each seed's lowest and the range of their steps."""
    if not arm.values("test_loss_best_step") or arm.tested_once:
        return MISSING
    return _measured(arm, f"{show_interval(arm.best_test_loss, 4)} @ {show_best_steps(arm)}")


def _win_rate(arm: Arm) -> str:
    return _measured(arm, show_interval(arm.wins.rate, 2)) if arm.wins else MISSING


def _right_answers(arm: Arm) -> str:
    return _measured(arm, show_interval(arm.right_answers, 2)) if arm.right_answers else MISSING


def _margin(arm: Arm) -> str:
    return _measured(arm, show_interval(arm.margin, 2, signed=True))


def _counts(arm: Arm) -> str:
    return _measured(arm, f"{arm.wins.wins}/{arm.wins.ties}/{arm.wins.losses}") if arm.wins else MISSING


def _bytes(arm: Arm, name: str) -> str:
    return show_bytes(arm.largest(name)) if arm.trained else MISSING


def _measured(arm: Arm, text: str) -> str:
    """Numbers of a trial that failed or was stopped by request stay in curves.csv and out of the comparison."""
    return MISSING if arm.outcome in NOT_COMPARED else text
