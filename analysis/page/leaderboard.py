"""The leaderboard as the page draws it: texts, and where bars and dots lie within their columns."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis.figures.curve_range import near_the_lowest
from analysis.page.content import Content
from analysis.statistics.intervals import Interval
from analysis.verdict.summary import Board, Place
from analysis.wording.numbers import MISSING, show_bytes, show_interval, show_limits, show_number, show_p_value

FAR = 4
"""A loss this many times as far from the best as the median is drawn at the axis's end, so that it spoils no scale."""
MOST_PLACES = 1000
"""Arms that a board of the page lists; with tens of thousands a browser would be busy for long. trials.csv has all."""
MOST_CHOICES = 30
"""Values of a factor that can be chosen among; a factor with more is not offered."""


class Track(NamedTuple):
    """A dot with its interval in per cent of the axis; `beyond` where it lies past its end."""

    at: float
    low: float
    high: float
    beyond: bool


class Cell(NamedTuple):
    """The text of a cell, and the number by which it sorts; NaN sorts last."""

    text: str
    value: float


class BoardRow(NamedTuple):
    """A finished arm.

    Attributes:
        place: what is known of it.
        loss: its test loss; `track` is its dot, `loss_limits` its interval, empty without one.
        gap: its distance from the best; `gap_limits` likewise.
        standing: "best", "tied", "behind" or "untested".
        track: see `Track`; None without a loss.
        wins: wins and losses; `won` is the share of wins among both in per cent, None without any.
        memory: peak memory; `filled` is its share of the board's largest in per cent.
        more: the columns after these, in the order of `LeaderBoard.more`.
        factors: values of the factors by name.
    """

    place: Place
    loss: Cell
    loss_limits: str
    gap: Cell
    gap_limits: str
    standing: str
    track: Track | None
    wins: Cell
    won: float | None
    memory: Cell
    filled: float
    more: list[Cell]
    factors: Mapping[str, str]


@dataclass(frozen=True)
class LeaderBoard:
    """A leaderboard of the page.

    Attributes:
        key: a short name, of which the first board has none, for addresses.
        board: what it shows.
        rows: finished arms, the best first, MOST_PLACES at most.
        finished: how many there are.
        unfinished: the other arms, MOST_PLACES at most.
        not_finished: how many there are.
        more: headings of the columns after memory; the first is shown at once.
        intervals: whether any loss has one.
        base: per cent of the axis where the base model's loss lies; None where that is off the axis.
        factors: the values that arms differ in, by factor, where they can be chosen among.
        headings: of all columns.
    """

    key: str
    board: Board
    rows: list[BoardRow]
    finished: int
    unfinished: list[Place]
    not_finished: int
    more: list[str]
    intervals: bool
    base: float | None
    factors: dict[str, list[str]]
    headings: list[str]


def leaderboards_of(content: Content) -> list[LeaderBoard]:
    """The leaderboards of a report."""
    return [
        _leaderboard(board, f"{number}" if number else "", content.factors)
        for number, board in enumerate(content.summary.boards)
    ]


def _leaderboard(board: Board, key: str, factors: Mapping[str, Mapping[str, str]]) -> LeaderBoard:
    finished = [place for place in board.places if place.rank is not None]
    low, high = _axis(finished, board.base_loss)
    most_bytes = max((place.peak_bytes for place in finished if math.isfinite(place.peak_bytes)), default=math.nan)
    names = list(dict.fromkeys(name for place in finished for name in factors.get(place.label, {})))
    more = [*_more(finished), *(name for name in names if name != "lr")]
    shown = finished[:MOST_PLACES]
    rows = [_row(place, (low, high), most_bytes, more, factors.get(place.label, {})) for place in shown]
    unfinished = [place for place in board.places if place.rank is None]
    base = _percent(board.base_loss, low, high)
    loss = f"test loss, {board.unit}" if board.metric != "test_loss" else "test loss"
    headings = ["arm", loss, "vs best", "wins – losses", "memory", *more]
    return LeaderBoard(
        key=key,
        board=board,
        rows=rows,
        finished=len(finished),
        unfinished=unfinished[:MOST_PLACES],
        not_finished=len(unfinished),
        more=more,
        intervals=any(place.loss.known for place in finished),
        base=base if 0 <= base <= 100 else None,
        factors={name: values for name in names if 1 < len(values := _values(rows, name)) <= MOST_CHOICES},
        headings=headings,
    )


def _more(places: Sequence[Place]) -> list[str]:
    """The columns after memory that any arm has a value for, time first where it compares."""
    shown = {
        "time": any(math.isfinite(place.train_seconds) for place in places),
        "learning rate": any(place.lr for place in places),
        "seeds": True,
        "p": any(math.isfinite(place.p_value) for place in places),
        "forgetting": any(math.isfinite(place.forgetting.estimate) for place in places),
    }
    return [name for name, wanted in shown.items() if wanted]


def _axis(places: Sequence[Place], base_loss: float) -> tuple[float, float]:
    """Ends of the axis of losses: all intervals, but for what is FAR, and the base model where it is near."""
    known = [place.loss for place in places if math.isfinite(place.loss.estimate)]
    if not known:
        return 0.0, 1.0
    near = set(near_the_lowest([loss.estimate for loss in known]))
    losses = [loss for loss in known if loss.estimate in near]
    ends = [end for loss in losses for end in loss if math.isfinite(end)]
    best, middle = min(loss.estimate for loss in losses), float(np.median([loss.estimate for loss in losses]))
    low, high = min(ends), max(ends)
    if middle > best:
        low, high = max(low, best - FAR * (middle - best)), min(high, best + FAR * (middle - best))
    if low - (high - low) <= base_loss <= high + (high - low):
        low, high = min(low, base_loss), max(high, base_loss)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _percent(value: float, low: float, high: float) -> float:
    return round(100 * (value - low) / (high - low), 1)


def _row(
    place: Place, axis: tuple[float, float], most_bytes: float, more: Sequence[str], factors: Mapping[str, str]
) -> BoardRow:
    asked = (place.wins or 0) + (place.losses or 0)
    return BoardRow(
        place=place,
        loss=Cell(show_number(place.loss.estimate), place.loss.estimate),
        loss_limits=show_limits(place.loss, 4),
        gap=_gap(place),
        gap_limits=show_limits(place.gap, 4, signed=True),
        standing=_standing(place),
        track=_track(place.loss, axis),
        wins=_wins(place),
        won=round(100 * (place.wins or 0) / asked, 1) if asked else None,
        memory=Cell(show_bytes(place.peak_bytes), place.peak_bytes),
        filled=round(100 * place.peak_bytes / most_bytes, 1) if place.peak_bytes <= most_bytes and most_bytes else 0.0,
        more=[_cell(place, name, factors) for name in more],
        factors=factors,
    )


def _gap(place: Place) -> Cell:
    if place.rank == 1:
        return Cell(MISSING, 0.0)
    return Cell(show_interval(Interval(place.gap.estimate, math.nan, math.nan), 4, signed=True), place.gap.estimate)


def _standing(place: Place) -> str:
    if place.rank == 1:
        return "best"
    return "untested" if place.differs is None else "behind" if place.differs else "tied"


def _wins(place: Place) -> Cell:
    if place.wins is None or place.losses is None:
        return Cell(MISSING, math.nan)
    return Cell(f"{place.wins:,} – {place.losses:,}", place.wins - place.losses)


def _track(loss: Interval, axis: tuple[float, float]) -> Track | None:
    if not math.isfinite(loss.estimate):
        return None
    low, high = (_percent(end if math.isfinite(end) else loss.estimate, *axis) for end in (loss.low, loss.high))
    at = _percent(loss.estimate, *axis)
    return Track(min(at, 100.0), max(0.0, min(low, 100.0)), min(high, 100.0), at > 100)


def _cell(place: Place, name: str, factors: Mapping[str, str]) -> Cell:
    """A cell of a column after memory."""
    if name == "time":
        return Cell(
            _duration(place.train_seconds) if math.isfinite(place.train_seconds) else MISSING, place.train_seconds
        )
    if name == "learning rate":
        return Cell(place.lr or MISSING, _number(place.lr))
    if name == "seeds":
        return Cell(str(place.seeds), place.seeds)
    if name == "p":
        return Cell(show_p_value(place.p_value), place.p_value)
    if name == "forgetting":
        return Cell(show_interval(place.forgetting, 4, signed=True), place.forgetting.estimate)
    text = factors.get(name, MISSING)
    return Cell(text, _number(text))


def _duration(seconds: float) -> str:
    """Seconds as printed: "8.4 s", "95 s", "12:05 min" or "3:20 h"."""
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _values(rows: Sequence[BoardRow], name: str) -> list[str]:
    """The values of a factor, numbers in order, then words as they come."""
    values = dict.fromkeys(row.factors[name] for row in rows if name in row.factors)
    return sorted(values, key=lambda text: (math.isnan(_number(text)), _number(text) if text.strip() else 0.0))
