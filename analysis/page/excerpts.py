"""How much of a long table a page shows: its first rows, and where the others are."""

import pandas as pd

from analysis.page.content import Content

MOST_ROWS = 100
"""Rows of a table on a page, and entries of a list; a longer table is kept whole as CSV."""
TABLES_DIR = "tables"
"""Folder of these files, beside the page."""


def named_frames(content: Content) -> dict[str, pd.DataFrame]:
    """The tables of a report by name, which is that of its file where a table is too long for a page."""
    frames = {f"table-{table.anchor}": table.frame for table in content.tables}
    frames |= {f"pairs-{anchor}": pairs.frame for anchor, pairs in content.pairs.items()}
    if content.mattered is not None:
        mattered = content.mattered
        frames |= {"effects": mattered.effects, "importance": mattered.importance, "costs": mattered.costs}
    if content.tuning is not None:
        frames["tuning"] = content.tuning.frame
    if content.memory is not None:
        memory = content.memory
        frames |= {"memory": memory.peaks, "memory-parts": memory.parts, "memory-attempts": memory.attempts}
    if content.published is not None:
        frames["published"] = content.published
    if content.published_memory is not None:
        explained = content.published_memory
        frames |= {"published-memory": explained.explained, "published-memory-ours": explained.ours}
    return {**frames, "unfinished": content.unfinished}


def long_frames(content: Content) -> dict[str, pd.DataFrame]:
    """Those of which a page shows an excerpt."""
    return {name: frame for name, frame in named_frames(content).items() if len(frame) > MOST_ROWS}


def excerpt_note(name: str, rows: int) -> str:
    """What is said below a table of so many rows; empty where all are shown."""
    if rows <= MOST_ROWS:
        return ""
    return f"The first {MOST_ROWS} of {rows:,} rows; report/{TABLES_DIR}/{name}.csv has all."
