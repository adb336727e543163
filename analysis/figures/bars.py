"""Bars lying below the names of their arms, so that names take no room beside them on a narrow page."""

from collections.abc import Sequence
from typing import NamedTuple

from bokeh.models import HBar, Text
from bokeh.plotting import figure as bokeh_figure

from analysis.figures.colours import Colours
from analysis.figures.page_figure import Columns, add_glyph, empty_plot

MOST_BARS = 30
"""Arms that a figure with a row for each has room for."""
ROW = 40
"""Pixels of a row: a name and a bar."""
AXIS = 64
"""Pixels of the axis below."""
BAR, HEIGHT = 0.16, 0.4
"""Where in its row a bar lies, and how high it is; a row is 1."""
NAME_PLACE = -0.24


class Piece(NamedTuple):
    """A piece of an arm's bar: its row, the arm, both ends and its colours."""

    row: int
    arm: str
    left: float
    right: float
    colours: Colours


def bar_plot(name: str, rows: int, x_range: tuple[float, float]) -> bokeh_figure:
    """An empty plot of rows, the first on top."""
    plot = empty_plot(name, AXIS + ROW * rows, x_range=x_range, y_range=(rows - 0.45, -0.55), zooms=False)
    plot.yaxis.visible = plot.ygrid.visible = False
    return plot


def add_names(plot: bokeh_figure, arms: Sequence[str], texts: Sequence[str], x: float) -> None:
    """Write the name of each row."""
    columns: Columns = {"arm": list(arms), "text": list(texts), "y": _rows(arms, NAME_PLACE), "alpha": [1] * len(arms)}
    name = Text(
        x={"value": x}, y="y", text="text", text_baseline="middle", text_font_size="12.5px", text_alpha="alpha"
    )  # fmt: skip
    add_glyph(plot, name, columns, f"{plot.name}/names").tags = [{"ink": True}]


def add_values(plot: bokeh_figure, arms: Sequence[str], texts: Sequence[str], x: Sequence[float]) -> None:
    """Write a number at the end of each bar."""
    places = _rows(arms, BAR)
    columns: Columns = {"arm": list(arms), "text": list(texts), "x": list(x), "y": places, "alpha": [1] * len(arms)}
    value = Text(
        x="x", y="y", text="text", x_offset=6, text_baseline="middle", text_font_size="12px", text_alpha="alpha"
    )  # fmt: skip
    add_glyph(plot, value, columns, f"{plot.name}/values").tags = [{"muted": True}]


def add_bars(plot: bokeh_figure, pieces: Sequence[Piece], tips: Sequence[list[str]]) -> None:
    """Draw bars.

    Args:
        plot: where.
        pieces: of all bars.
        tips: lines of text about each row.
    """
    columns: Columns = {
        "arm": [piece.arm for piece in pieces],
        "y": [piece.row + BAR for piece in pieces],
        "left": [piece.left for piece in pieces],
        "right": [piece.right for piece in pieces],
        "light": [piece.colours[0] for piece in pieces],
        "dark": [piece.colours[1] for piece in pieces],
        "colour": [piece.colours[0] for piece in pieces],
        "alpha": [1] * len(pieces),
        "tip": [tips[piece.row] for piece in pieces],
    }
    bar = HBar(
        y="y", height=HEIGHT, left="left", right="right", fill_color="colour", fill_alpha="alpha", line_color=None
    )
    add_glyph(plot, bar, columns, f"{plot.name}/bars")


def _rows(arms: Sequence[str], place: float) -> list[float]:
    return [row + place for row in range(len(arms))]
