"""What a drawing is, how all of them look, and how one becomes a file."""

import io
from dataclasses import dataclass
from typing import Any

from analysis.drawings.canvas import Figure, drawn_with

WIDTH = 11.0
"""Inches; as wide as a page of Markdown shows a figure."""
MOST_BARS = 30
"""Arms that a figure with one row per arm has room for."""


INK, MUTED, GRID = "#1f2933", "#66727f", "#dde2e7"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Drawing:
    """A figure with the name of its file, a caption and what it shows in words."""

    name: str
    caption: str
    figure: Figure


def to_png(drawing: Drawing) -> bytes:
    """The drawing as a PNG on white."""
    buffer = io.BytesIO()
    with drawn_with(STYLE):
        drawing.figure.savefig(buffer, format="png", dpi=160, facecolor="white", transparent=False)
    return buffer.getvalue()
