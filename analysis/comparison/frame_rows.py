"""Some rows of a frame, column by column: a frame for each of thousands of arms would take pandas minutes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd


class Columns:
    """The columns of a frame as lists, each made once for all who ask for some of its rows."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.names = frozenset(map(str, frame))
        self._values: dict[str, list[Any]] = {}
        self._known: dict[str, list[bool]] = {}
        self._numbers: dict[str, list[float]] = {}

    def values(self, name: str) -> list[Any]:
        """The values of a column."""
        if name not in self._values:
            self._values[name] = self.frame[name].to_numpy(dtype=object).tolist()
        return self._values[name]

    def known(self, name: str) -> list[bool]:
        """Whether each value of a column is there."""
        if name not in self._known:
            self._known[name] = list(self.frame[name].notna())
        return self._known[name]

    def numbers(self, name: str) -> list[float]:
        """The values of a column as numbers; NaN for what is none."""
        if name not in self._numbers:
            self._numbers[name] = [float(value) for value in pd.to_numeric(self.frame[name], errors="coerce")]
        return self._numbers[name]


@dataclass(frozen=True)
class FrameRows:
    """Rows of a frame.

    Attributes:
        columns: of the whole frame.
        places: where these rows stand in it, from 0.
    """

    columns: Columns
    places: Sequence[int]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "FrameRows":
        """All rows of a frame."""
        return cls(Columns(frame), range(len(frame)))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.places)

    def __contains__(self, name: object) -> bool:
        """Whether the frame has such a column."""
        return name in self.columns.names

    def __getitem__(self, name: str) -> list[Any]:
        """The values of a column."""
        values = self.columns.values(name)
        return [values[place] for place in self.places]

    def get(self, name: str, default: list[Any]) -> list[Any]:
        """The values of a column; the default without such a column."""
        if name not in self:
            return default
        return self[name]

    def known(self, name: str) -> list[Any]:
        """The values of a column that are there; none without such a column."""
        if name not in self:
            return []
        known = self.columns.known(name)
        values = self.columns.values(name)
        return [values[place] for place in self.places if known[place]]

    def numbers(self, name: str) -> list[float]:
        """The values of a column as numbers, NaN for what is none; none without such a column."""
        if name not in self:
            return []
        numbers = self.columns.numbers(name)
        return [numbers[place] for place in self.places]

    def number(self, name: str) -> float:
        """The value of the first row in a column as a number; NaN for what is none, and without such a column."""
        return self.columns.numbers(name)[self.places[0]] if name in self else math.nan

    def row(self, index: int) -> "FrameRows":
        """One of the rows by its number among these."""
        return FrameRows(self.columns, [self.places[index]])

    def where(self, wanted: Sequence[bool]) -> "FrameRows":
        """Those of the rows that are wanted, one truth value each."""
        return FrameRows(self.columns, [place for place, one in zip(self.places, wanted, strict=True) if one])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows as a frame."""
        return self.columns.frame.iloc[list(self.places)]


def rows_by(frame: pd.DataFrame, name: str) -> dict[str, FrameRows]:
    """The rows of a frame by a column of text, in the order in which its values come; none without such a column."""
    if name not in frame:
        return {}
    columns = Columns(frame)
    places: dict[str, list[int]] = {}
    for place, (value, known) in enumerate(zip(columns.values(name), columns.known(name), strict=True)):
        if known:
            places.setdefault(str(value), []).append(place)
    return {value: FrameRows(columns, of_value) for value, of_value in places.items()}
