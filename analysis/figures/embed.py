"""Figures as a page holds them: Bokeh's own script, and each figure as JSON that loads nothing and runs nothing."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from bokeh.resources import Resources

from analysis.figures.page_figure import PageFigure

PAGE_SCRIPTS = (
    "figure_theme",
    "figures",
    "figure_labels",
    "figure_curves",
    "figure_rates",
    "figure_points",
    "figure_bars",
    "figure_parallel",
)
"""Files of `analysis/page/scripts` that show figures, in the order in which a page runs them, after Bokeh's script."""
PAGE_STYLE = "figures"
"""Their file of `analysis/page/style`."""


@cache
def script() -> str:
    """Bokeh's script without its widgets and tables; of its modules, those that a plot needs."""
    (text,) = Resources(mode="inline", components=["bokeh"]).js_raw[:1]
    return str(text)


def items(figures: Mapping[str, PageFigure]) -> dict[str, str]:
    """Each figure as JSON, fit to stand in a <script type="application/json">; no text of it ends the element.

    Args:
        figures: by name.

    Returns:
        The text of each figure's `item`, by its name.
    """
    return {name: _text(figure.item) for name, figure in figures.items()}


def _text(item: Mapping[str, Any]) -> str:
    text = json.dumps(item, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")
