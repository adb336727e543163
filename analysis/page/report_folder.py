"""Where a report of several sweeps is written: a folder of its own, in none of the experiments."""

import re
from collections.abc import Collection
from pathlib import Path

from analysis.results.state import STATE_FILES
from basis.errors import UserError

PAGE = "report.html"
MOST_NAMED = 3
"""Sweeps that a folder's name names; of more it counts the rest."""
LONGEST_NAME = 80
"""Characters of a folder's name."""


def folder_for(names: Collection[str]) -> Path:
    """The folder in the working directory for a report of these sweeps, whatever their order."""
    short = [re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "sweep" for name in sorted(names)]
    more = [f"and-{len(short) - MOST_NAMED}-more"] if len(short) > MOST_NAMED else []
    return Path("-".join(["report", *short[:MOST_NAMED], *more])[:LONGEST_NAME])


def checked_folder(folder: Path) -> Path:
    """The absolute path of a folder in which a report overwrites nothing but an earlier one.

    Raises:
        UserError: it lies in an experiment, is a file, or holds something and no report.
    """
    try:
        path = folder.expanduser().resolve()
    except (RuntimeError, ValueError):
        raise UserError(f"--to {str(folder)!r} names no folder of this machine") from None
    for place in (path, *path.parents):
        if place.is_dir() and any(place.glob(STATE_FILES)):
            raise UserError(f"--to {folder} lies in the experiment {place}; give a folder outside of experiments")
    if path.exists() and not path.is_dir():
        raise UserError(f"--to {folder} is no folder; give a new one, or that of an earlier report")
    if path.is_dir() and any(path.iterdir()) and not (path / PAGE).is_file():
        raise UserError(
            f"--to {folder} holds other files and no {PAGE}; give a new folder, or that of an earlier report"
        )
    return path
