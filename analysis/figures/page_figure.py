"""What a page is given of a figure, and the empty plot that all of them begin with.

The page's script paints: a model says by a tag what of it is painted in which colour, since the reader's theme decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from bokeh.embed import json_item
from bokeh.models import ColumnDataSource
from bokeh.models.glyph import Glyph
from bokeh.models.renderers import GlyphRenderer
from bokeh.plotting import figure as bokeh_figure

from analysis.figures.colours import Colours

HEIGHT = 420
"""Pixels."""
CONTROLS_HEIGHT, KEYS_HEIGHT = 38, 27
"""Pixels of the row of choices, and of that which says what colours stand for, where they fit into one."""
DIGITS = 6
"""Significant digits of the numbers in a page."""

Columns = dict[str, list[Any]]
"""Lists of one length, by the name of a column."""


class Control(NamedTuple):
    """A choice of the reader.

    Attributes:
        key: what it changes, and its name in the page's address.
        label: as printed before the choice.
        options: value and text of each; the first holds at the beginning.
    """

    key: str
    label: str
    options: tuple[tuple[str, str], ...]


class Key(NamedTuple):
    """What a colour stands for."""

    text: str
    colours: Colours


@dataclass(frozen=True)
class PageFigure:
    """A figure of a page.

    Attributes:
        name: in ids of the page and in the names of its models.
        kind: which part of the page's script handles its controls.
        title: a few words.
        caption: what it shows and how to read it.
        description: what is to be seen, in words, for those who don't see it.
        figure: the plot.
        controls: choices of the reader.
        keys: what its colours stand for, where nothing in the plot says so.
        data: what the script needs to follow the controls.
    """

    name: str
    kind: str
    title: str
    caption: str
    description: str
    figure: bokeh_figure
    controls: tuple[Control, ...] = ()
    keys: tuple[Key, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def item(self) -> dict[str, Any]:
        """What the page's script needs to show it, as JSON has it: Bokeh's item, choices, and what they choose from."""
        return {
            "kind": self.kind,
            "title": self.title,
            "description": self.description,
            "controls": [control._asdict() for control in self.controls],
            "keys": [key._asdict() for key in self.keys],
            "data": self.data,
            "item": _renamed(json_item(self.figure), self.name, {}),
        }

    @property
    def height(self) -> int:
        """Pixels that a page keeps free for it, so that nothing moves when it appears."""
        above = CONTROLS_HEIGHT * any(len(control.options) > 1 for control in self.controls)
        return (self.figure.height or HEIGHT) + above + KEYS_HEIGHT * bool(self.keys)


def empty_plot(name: str, height: int = HEIGHT, **options: Any) -> bokeh_figure:
    """A plot as wide as the page, without a frame; a mouse can enlarge a part of it."""
    plot = bokeh_figure(
        name=name,
        height=height,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="box_zoom" if options.pop("zooms", True) else "",
        min_border_left=8,
        min_border_right=8,
        **options,
    )
    plot.outline_line_color = None
    plot.background_fill_color = plot.border_fill_color = None
    for axis in plot.axis:
        axis.axis_line_color = None
        axis.major_tick_line_color = axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"
    return plot


def add_glyph(
    plot: bokeh_figure, glyph: Glyph, columns: Columns, name: str, arm: str = "", colours: Colours | None = None
) -> "GlyphRenderer[Glyph]":
    """Draw a glyph.

    Args:
        plot: where.
        glyph: what; its colours are those of `colours`, or the columns "light" and "dark" of its data.
        columns: its data.
        name: of source and renderer.
        arm: the arm that all of it belongs to; where it has several, they are its column "arm".
        colours: of all of it.

    Returns:
        The renderer.
    """
    source = ColumnDataSource(data=columns, name=name)
    renderer = plot.add_glyph(source, glyph, name=name)
    tag = {**({"arm": arm} if arm else {}), **({"light": colours[0], "dark": colours[1]} if colours else {})}
    renderer.tags = [tag] if tag else []
    return renderer


def rounded(values: Any) -> list[float]:
    """Numbers with no more digits than a figure needs, as Python's own floats."""
    return [float(f"{float(value):.{DIGITS}g}") for value in values]


def _renamed(value: Any, prefix: str, names: dict[str, str]) -> Any:
    """An item whose ids count from the figure's beginning: Bokeh's count all that the process has made so far.

    So the same numbers make the same page, whatever was drawn before.
    """
    if isinstance(value, Mapping):
        return {
            key: names.setdefault(inner, f"{prefix}-{len(names)}")
            if key in ("id", "root_id") and isinstance(inner, str)
            else _renamed(inner, prefix, names)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_renamed(inner, prefix, names) for inner in value]
    return value
