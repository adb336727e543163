"""A table of printable strings as the page shows it: which columns at once, which by choice, and which are words."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from analysis.page.content import Content
from analysis.page.excerpts import MOST_ROWS
from analysis.tables.columns import CORE_COLUMNS, core_columns

BY_CHOICE = {"effects": ("contexts", "pairs of trials", "interval over", "reward margin", "right answers against base")}
"""Columns of other tables that are shown by choice, by the table's name."""
WORDS = {
    "effects": ("factor", "from", "to"),
    "importance": ("variance of", "source", "test"),
    "costs": ("arm", "dominated in"),
    "memory-parts": ("arm", "peak"),
    "memory-attempts": ("arm", "during", "how the trial ended"),
    "published": ("from",),
    "unfinished": ("arm", "outcome", "reason", "trial"),
}
"""Columns that hold words, by the table's name; of other tables see `_words`."""


class GridColumn(NamedTuple):
    """A column: its heading, a short name for addresses, whether it holds words, and whether it is shown at once."""

    heading: str
    key: str
    words: bool
    core: bool


@dataclass(frozen=True)
class Grid:
    """A table of the page.

    Attributes:
        name: that of its frame.
        columns: in order.
        rows: the cells of the rows shown.
        total: rows that there are.
    """

    name: str
    columns: list[GridColumn]
    rows: list[tuple[str, ...]]
    total: int

    @property
    def headings(self) -> list[str]:
        """The headings of its columns."""
        return [column.heading for column in self.columns]

    @property
    def hidden(self) -> str:
        """The classes that hide the columns shown by choice."""
        return " ".join(f"hide-{place}" for place, column in enumerate(self.columns, 1) if not column.core)


def grids_of(content: Content) -> dict[str, Grid]:
    """The tables of a report by the names of their frames."""
    compared = {f"table-{table.anchor}" for table in content.tables}
    grids = {}
    for name, frame in content.frames.items():
        if name in compared and len(frame.columns) > CORE_COLUMNS:
            core = core_columns(frame)
        else:
            core = [heading for heading in frame.columns if heading not in BY_CHOICE.get(name, ())]
        grids[name] = grid_of(name, frame, core, _words(content, name))
    return grids


def grid_of(name: str, frame: pd.DataFrame, core: Collection[str], words: Collection[str]) -> Grid:
    """A frame as a grid.

    Args:
        name: of the frame.
        frame: printable strings.
        core: headings of the columns shown at once; the first column always is.
        words: headings of the columns that hold words.
    """
    headings = [str(heading) for heading in frame.columns]
    columns = [
        GridColumn(heading, key, heading in words, place == 0 or heading in core)
        for place, (heading, key) in enumerate(zip(headings, column_keys(headings), strict=True))
    ]
    rows = [tuple(map(str, row)) for row in frame.head(MOST_ROWS).itertuples(index=False, name=None)]
    return Grid(name, columns, rows, len(frame))


def column_keys(headings: Sequence[str]) -> list[str]:
    """Short names of columns for addresses, no two alike: that of "test loss, nats/token" is "test-loss-nats-token"."""
    keys: list[str] = []
    for heading in headings:
        key = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-") or "column"
        keys.append(key if key not in keys else f"{key}-{len(keys)}")
    return keys


def _words(content: Content, name: str) -> Sequence[str]:
    """Headings of the columns of a table that hold words."""
    if name == "tuning" and content.tuning is not None:
        return (str(content.tuning.frame.columns[2]), "chosen")
    if name.startswith("pairs-"):
        return ("first", "second", "told apart")
    return WORDS.get(name, ("arm", "state"))
