"""How much of a long table a page shows: its first rows, and where the others are."""

from collections.abc import Mapping

import pandas as pd

MOST_ROWS = 100
"""Rows of a table on a page, and entries of a list; a longer table is kept whole as CSV."""
TABLES_DIR = "tables"
"""Folder of these files, beside the page."""


def long_frames(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Those of the frames of a report of which a page shows an excerpt."""
    return {name: frame for name, frame in frames.items() if len(frame) > MOST_ROWS}


def excerpt_note(name: str, rows: int) -> str:
    """What is said below a table of so many rows; empty where all are shown."""
    if rows <= MOST_ROWS:
        return ""
    return f"The first {MOST_ROWS} of {rows:,} rows; report/{TABLES_DIR}/{name}.csv has all."
