"""Peak memory of each arm, stacked from its parts, with a mark where it was predicted."""

import math
from collections.abc import Sequence

from bokeh.models import Segment
from bokeh.plotting import figure as bokeh_figure

from analysis.figures.bars import BAR, HEIGHT, MOST_BARS, Piece, add_bars, add_names, add_values, bar_plot
from analysis.figures.colours import Colours
from analysis.figures.page_figure import Columns, Key, PageFigure, add_glyph, rounded
from analysis.tables.memory_bars import REST, MemoryBar, about_bars, largest_bars, memory_bars
from analysis.tables.peak_memory import ArmMemory
from analysis.wording.numbers import GIB, MIB, show_bytes
from basis.outcomes import Outcome

NAME = "memory"
COLOURS: dict[str, Colours] = {
    "weights": ("#45639c", "#7d9bd6"),
    "gradients": ("#2f8579", "#5cc2b4"),
    "optimizer state": ("#a87a12", "#e0b04a"),
    "logits": ("#a8576b", "#dd8ba0"),
    "activations": ("#7b858f", "#8f9aa5"),
    REST: ("#7b858f", "#8f9aa5"),
}
"""Of the parts, by their names."""


def draw_memory(memory: Sequence[ArmMemory]) -> PageFigure | None:
    """Peak memory by part.

    Args:
        memory: what `memory_of_arms` returned; arms of the same short name and the same bytes share one bar.

    Returns:
        The figure, or None where no peak was measured.
    """
    known = memory_bars(memory)
    if not known:
        return None
    bars = largest_bars(known, MOST_BARS)
    arms = [bar.arm for bar in bars]
    highest = max(bar.end for bar in bars)
    unit, size = ("GiB", GIB) if highest >= GIB else ("MiB", MIB)
    plot = bar_plot(NAME, len(bars), (0, 1.2 * highest / size))
    plot.xaxis.axis_label = f"peak memory, {unit}"
    add_bars(plot, _pieces(bars, size), [_tip(bar) for bar in bars])
    _add_predictions(plot, bars, size)
    add_names(plot, arms, [bar.name for bar in bars], 0)
    totals = [f"{bar.measured / size:,.2f}" if math.isfinite(bar.measured) else Outcome.OUT_OF_MEMORY for bar in bars]
    add_values(plot, arms, totals, rounded(bar.end / size for bar in bars))
    drawn = dict.fromkeys(name for bar in bars for name, _ in bar.parts)
    peaks = "; ".join(f"{bar.name}: {show_bytes(bar.measured)}" for bar in bars)
    return PageFigure(
        name=NAME,
        kind="bars",
        title="Peak memory",
        caption=about_bars(memory, bars, len(known)),
        description=f"Bars of peak memory by part. {peaks}.",
        figure=plot,
        data={"reach": highest / size},
        keys=tuple(Key(name, COLOURS[name]) for name in drawn),
    )


def _pieces(bars: Sequence[MemoryBar], size: int) -> list[Piece]:
    pieces = []
    for row, bar in enumerate(bars):
        left = 0.0
        for name, value in bar.parts:
            ends = rounded([left / size, (left + value) / size])
            pieces.append(Piece(row, bar.arm, ends[0], ends[1], COLOURS[name]))
            left += value
    return pieces


def _add_predictions(plot: bokeh_figure, bars: Sequence[MemoryBar], size: int) -> None:
    rows = [row for row, bar in enumerate(bars) if math.isfinite(bar.predicted)]
    columns: Columns = {
        "arm": [bars[row].arm for row in rows],
        "x": rounded(bars[row].predicted / size for row in rows),
        "top": [row + BAR - HEIGHT * 0.7 for row in rows],
        "bottom": [row + BAR + HEIGHT * 0.7 for row in rows],
        "alpha": [1] * len(rows),
    }
    tick = Segment(x0="x", x1="x", y0="top", y1="bottom", line_width=2, line_alpha="alpha")
    add_glyph(plot, tick, columns, f"{NAME}/predicted").tags = [{"ink": True}]


def _tip(bar: MemoryBar) -> list[str]:
    known = (("measured", bar.measured), ("predicted", bar.predicted), *bar.parts)
    return [bar.name, *(f"{part}: {show_bytes(value)}" for part, value in known if math.isfinite(value))]
