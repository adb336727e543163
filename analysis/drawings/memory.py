"""The memory figure: the peak of each arm, stacked from its parts, with a mark where it was predicted."""

import math

from analysis.drawings.canvas import Axes, Figure, drawn_with
from analysis.drawings.drawing import INK, MOST_BARS, MUTED, STYLE, WIDTH, Drawing
from analysis.tables.memory_bars import REST, MemoryBar, about_bars, largest_bars, memory_bars
from analysis.tables.peak_memory import ArmMemory
from analysis.wording.numbers import GIB, MIB
from basis.outcomes import Outcome

COLOURS = {
    "weights": "#45639c",
    "gradients": "#3f9f94",
    "optimizer state": "#e0b04a",
    "logits": "#a8576b",
    "activations": "#b4bdc7",
    REST: "#b4bdc7",
}
"""Apart in lightness too, and none of them the colour of an arm."""
PREDICTED = "predicted"


def draw_memory(memory: list[ArmMemory]) -> Drawing | None:
    """Peak memory of each arm, stacked from what is known of its parts, with a tick at the predicted peak.

    Args:
        memory: what `memory_of_arms` returned; arms of the same short name and the same bytes share one bar.

    Returns:
        The drawing, or None where no peak was measured.
    """
    known = memory_bars(memory)
    if not known:
        return None
    bars = largest_bars(known, MOST_BARS)
    highest = max(bar.end for bar in bars)
    unit, size = ("GiB", GIB) if highest >= GIB else ("MiB", MIB)
    with drawn_with({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(WIDTH, 1.4 + 0.34 * len(bars)), layout="constrained")
        axes = figure.subplots()
        for row, bar in enumerate(bars):
            _draw_bar(axes, row, bar, size)
        axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
        axes.invert_yaxis()
        axes.set_xlabel(f"peak memory, {unit}")
        axes.margins(x=0.09)
        axes.set_xlim(left=0)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(sorted(zip(labels, handles, strict=True), key=lambda pair: pair[0] == PREDICTED))
        figure.legend(unique.values(), unique.keys(), loc="outside upper center", ncols=len(unique))
    caption = f"Peak memory and what it consists of. {about_bars(memory, bars, len(known))}"
    return Drawing("memory", caption, figure)


def _draw_bar(axes: Axes, row: int, bar: MemoryBar, size: int) -> None:
    left = 0.0
    for name, value in bar.parts:
        axes.barh(row, value / size, left=left, color=COLOURS[name], height=0.62, label=name)
        left += value / size
    if math.isfinite(bar.predicted):
        axes.plot(bar.predicted / size, row, "|", color=INK, markersize=19, markeredgewidth=1.6, label=PREDICTED)
    known = [value / size for value in (bar.measured, bar.predicted) if math.isfinite(value)]
    text, colour = (
        (f"{bar.measured / size:,.2f}", INK) if math.isfinite(bar.measured) else (Outcome.OUT_OF_MEMORY, MUTED)
    )
    end = (max([left, *known]), row)
    axes.annotate(text, end, xytext=(5, 0), textcoords="offset points", va="center", color=colour)
