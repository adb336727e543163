"""The first screen on a terminal: about sixteen lines, none of them cut within a word."""

import math
import textwrap
from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import NamedTuple

from rich.text import Text

from analysis.verdict.summary import Board, Place, Summary, Trust, Verdict
from analysis.wording.numbers import MISSING, show_bytes, show_interval, show_number
from analysis.wording.phrases import count

MOST_VERDICTS = 5
MOST_DOUBTS = 5
MOST_PLACES = 5
TITLE_COLUMNS = 14
"""Columns of the verdicts' titles."""
HEADLINE_COLUMNS = 26
"""Columns up to which headlines are brought to one length."""
BAR_COLUMNS = 8
UNBROKEN = 10**6
"""Width of a line that nothing wraps, as in a file."""
STYLES = {"lowest_loss": "bold green", "avoid": "bold yellow", "low": "bold red", "medium": "bold yellow"}
"""By the kind of a verdict or the level of trust; bold without an entry."""
MARKS = {False: "~", None: "?"}
"""Behind a gap to the best, by what the test says; nothing where it tells the arm from the best."""
LEGEND = {"~": "not told apart from the best", "?": "untested", "*": "beyond chance"}


class Cells(NamedTuple):
    """A column of the leaderboard.

    Attributes:
        heading: above it.
        cells: a text for each place, of one line or several.
        stays: how long it stays where room is short: the lowest goes first, and what is 0 never.
        right: whether its texts stand at the right.
    """

    heading: str
    cells: list[str]
    stays: int = 0
    right: bool = True

    @property
    def columns(self) -> int:
        """Its width."""
        return max(len(line) for cell in (self.heading, *self.cells) for line in cell.split("\n"))


def summary_lines(summary: Summary, width: int | None, notes: Sequence[str] = ()) -> list[Text]:
    """The first screen line by line.

    Args:
        summary: what it says.
        width: columns of the terminal; None where lines are not to be wrapped.
        notes: what a reader should know besides, a few words each.

    Returns:
        The lines: verdicts, trust, the best arms of the first leaderboard, and how many it leaves out.
    """
    columns = width or UNBROKEN
    shown = summary.verdicts[:MOST_VERDICTS]
    pad = max((len(one.headline) for one in shown if len(one.headline) <= HEADLINE_COLUMNS), default=0)
    lines = [line for verdict in shown for line in _verdict_lines(verdict, pad, columns)]
    if rest := len(summary.verdicts) - len(shown):
        lines.append(Text(f"{'':{TITLE_COLUMNS}}{count(rest, 'verdict')} more in the report", style="dim"))
    lines += _trust_lines(summary.trust, columns)
    lines += _titled("NOTE", "", notes, columns, None) if notes else []
    return [*lines, *_board_lines(summary.boards, columns)]


def _verdict_lines(verdict: Verdict, pad: int, columns: int) -> list[Text]:
    return _titled(verdict.title.upper(), f"{verdict.headline:{pad}}", verdict.facts, columns, STYLES.get(verdict.kind))


def _trust_lines(trust: Trust, columns: int) -> list[Text]:
    reasons = [doubt.reason for doubt in trust.doubts[:MOST_DOUBTS]]
    more = [f"{len(trust.doubts) - MOST_DOUBTS} more"] if len(trust.doubts) > MOST_DOUBTS else []
    facts = [*reasons, *more] or ["no doubt is known"]
    return _titled(f"TRUST {trust.level}", "", facts, columns, STYLES.get(trust.level))


def _titled(title: str, headline: str, facts: Sequence[str], columns: int, style: str | None) -> list[Text]:
    """A title with what it says behind it; facts are wrapped as wholes where they fit in a line."""
    room = max(columns - TITLE_COLUMNS, 1)
    joined = [f"{fact} ·" for fact in facts[:-1]] + list(facts[-1:])
    parts = [*([headline + "  "] if headline else []), *joined]
    whole = [part.replace(" ", "\u00a0") if len(part) <= room else part for part in parts]
    wrapped = textwrap.wrap(" ".join(whole), room, break_long_words=False, break_on_hyphens=False) or [""]
    told = [line.replace("\u00a0", " ").rstrip() for line in wrapped]
    lines = [Text.assemble((f"{title:{TITLE_COLUMNS}}", style or "bold"), told[0])]
    return [*lines, *(Text(f"{'':{TITLE_COLUMNS}}{line}") for line in told[1:])]


def _board_lines(boards: Sequence[Board], columns: int) -> list[Text]:
    """The best arms of the first leaderboard, and what else there is."""
    board = next((board for board in boards if any(place.rank for place in board.places)), None)
    if board is None:
        return [Text(line, style="dim") for line in _left_out(boards, 0)]
    ranked = [place for place in board.places if place.rank is not None]
    shown = ranked[:MOST_PLACES]
    table = _fitting(_columns(board, shown, columns), columns)
    rows = [" ".join(_cell(column, text) for column, text in zip(table, row, strict=True)) for row in _lines(table)]
    used = "".join(text for column in table for text in column.cells if text)
    legend = [f"{mark} {meaning}" for mark, meaning in LEGEND.items() if f" {mark}" in used]
    legend += ["vs best: over common seeds"] if board.common_seeds else []
    below = _left_out(boards, len(ranked) - len(shown))
    return [
        Text(),
        Text(rows[0].rstrip(), style="dim"),
        *(Text(row.rstrip(), style="bold" if row.startswith("1 ") else "") for row in rows[1:]),
        *(Text(line, style="dim") for line in _wrapped(" · ".join([*legend, *below]), columns)),
    ]


def _wrapped(text: str, columns: int) -> list[str]:
    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False)


def _columns(board: Board, places: Sequence[Place], width: int) -> list[Cells]:
    """The columns of a leaderboard, all of them."""
    largest = max((place.peak_bytes for place in places if math.isfinite(place.peak_bytes)), default=math.nan)
    loss = "bits/byte" if board.metric == "test_bits_per_byte" else "test loss"
    columns = [
        Cells("", [str(place.rank) for place in places]),
        Cells("arm", [_label(place.label, width) for place in places], right=False),
        Cells(loss, [show_number(place.loss.estimate) for place in places]),
        Cells("vs best ", [_gap(place) for place in places], stays=4),
        Cells("wins-losses ", [_wins(place) for place in places], stays=2),
        Cells("memory", [show_bytes(place.peak_bytes) for place in places], stays=3),
        Cells("", [_bar(place.peak_bytes, largest) for place in places], stays=1, right=False),
    ]
    return [column for column in columns if any(cell.strip(f" {MISSING}") for cell in column.cells)]


def _fitting(columns: list[Cells], width: int) -> list[Cells]:
    """The columns that fit, down to rank, arm and loss."""
    kept = list(columns)
    while sum(column.columns + 1 for column in kept) - 1 > width and (spare := [one for one in kept if one.stays]):
        kept.remove(min(spare, key=lambda column: column.stays))
    return kept


def _lines(columns: Sequence[Cells]) -> list[tuple[str, ...]]:
    """The lines of the table: that of the headings, and one or several for each place."""
    rows = zip(*([column.heading, *column.cells] for column in columns), strict=True)
    return [line for row in rows for line in zip_longest(*(cell.split("\n") for cell in row), fillvalue="")]


def _label(label: str, width: int) -> str:
    """A label in lines that leave room for numbers, cut between words."""
    return "\n".join(_wrapped(label, max(width // 2 - 4, 1)))


def _cell(column: Cells, text: str) -> str:
    return f"{text:>{column.columns}}" if column.right else f"{text:<{column.columns}}"


def _gap(place: Place) -> str:
    if place.rank == 1:
        return f"{MISSING}  "
    gap = place.gap._replace(low=math.nan, high=math.nan)
    return f"{show_interval(gap, 4, signed=True)} {MARKS.get(place.differs, ' ')}"


def _wins(place: Place) -> str:
    if place.wins is None:
        return ""
    return f"{place.wins}-{place.losses} {' ' if place.won is None else '*'}"


def _bar(value: float, largest: float) -> str:
    return "#" * max(1, round(BAR_COLUMNS * value / largest)) if math.isfinite(value) and largest > 0 else ""


def _left_out(boards: Sequence[Board], ranked: int) -> list[str]:
    """What the leaderboard does not show: further arms, other leaderboards, arms that did not finish by their state."""
    told = [f"{count(ranked, 'more arm')}"] if ranked else []
    others = sum(any(place.rank for place in board.places) for board in boards) - 1
    told += [f"{count(others, 'more leaderboard')}"] if others > 0 else []
    states = sorted(place.state for board in boards for place in board.places if place.rank is None)
    return told + [f"{count(len(list(arms)), 'arm')} {state}" for state, arms in groupby(states)]
