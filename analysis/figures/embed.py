"""Figures as a page holds them: Bokeh's own script, and each figure as JSON that loads nothing and runs nothing."""

import json
from collections.abc import Mapping
from functools import cache

from bokeh.embed import json_item
from bokeh.resources import Resources

from analysis.figures.page_figure import PageFigure

PAGE_SCRIPTS = (
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
    """Each figure as JSON, fit to stand in a <script type="application/json">.

    Args:
        figures: by name.

    Returns:
        By name, the text of an object with what the page's script needs: the item of Bokeh, the controls and keys, and
        the data that they choose from.
    """
    return {name: _item(figure) for name, figure in figures.items()}


def _item(figure: PageFigure) -> str:
    value = {
        "kind": figure.kind,
        "title": figure.title,
        "description": figure.description,
        "controls": [control._asdict() for control in figure.controls],
        "keys": [key._asdict() for key in figure.keys],
        "data": figure.data,
        "item": json_item(figure.figure),
    }
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")  # so that no text of it ends the element
