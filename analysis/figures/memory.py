"""Peak memory of each arm, stacked from its parts, with a mark where it was predicted."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from bokeh.models import Segment
from bokeh.plotting import figure as bokeh_figure

from analysis.figures.bars import BAR, HEIGHT, MOST_BARS, Piece, add_bars, add_names, add_values, bar_plot
from analysis.figures.colours import Colours
from analysis.figures.page_figure import Columns, Key, PageFigure, add_glyph, rounded
from analysis.tables.peak_memory import ArmMemory
from analysis.wording.numbers import GIB, MIB, show_bytes
from basis.fields import arm_label
from basis.metrics import LASTING_PARTS, MEMORY_PARTS, PEAK_SOURCE
from basis.outcomes import Outcome

NAME = "memory"
REST = "rest up to the peak"
COLOURS: dict[str, Colours] = {
    "weights": ("#45639c", "#7d9bd6"),
    "gradients": ("#2f8579", "#5cc2b4"),
    "optimizer state": ("#a87a12", "#e0b04a"),
    "logits": ("#a8576b", "#dd8ba0"),
    "activations": ("#7b858f", "#8f9aa5"),
    REST: ("#7b858f", "#8f9aa5"),
}
"""Of the parts, by their names."""


class Bar(NamedTuple):
    """What is drawn of an arm.

    Attributes:
        parts: bytes by name of a part, from the left; none where the arm ran out of memory.
        measured: the peak in bytes; NaN without one.
        predicted: likewise.
    """

    parts: tuple[tuple[str, float], ...]
    measured: float
    predicted: float

    @property
    def end(self) -> float:
        """The larger peak."""
        return max(value for value in (self.measured, self.predicted, 0.0) if math.isfinite(value))


def draw_memory(memory: Sequence[ArmMemory]) -> PageFigure | None:
    """Peak memory by part.

    Args:
        memory: what `memory_of_arms` returned; arms of the same short name and the same bytes share one bar.

    Returns:
        The figure, or None where no peak was measured.
    """
    if not any(usage.measured for usage in memory):
        return None
    shown = {arm: (name, bar) for arm, name, bar in _bars(memory)}
    known = len(shown)
    if known > MOST_BARS:
        largest = sorted(shown, key=lambda arm: -shown[arm][1].end)[:MOST_BARS]
        shown = {arm: shown[arm] for arm in shown if arm in largest}
    arms, names = list(shown), [name for name, _ in shown.values()]
    bars = [bar for _, bar in shown.values()]
    highest = max(bar.end for bar in bars)
    unit, size = ("GiB", GIB) if highest >= GIB else ("MiB", MIB)
    plot = bar_plot(NAME, len(bars), (0, 1.2 * highest / size))
    plot.xaxis.axis_label = f"peak memory, {unit}"
    add_bars(plot, _pieces(arms, bars, size), [_tip(name, bar) for name, bar in shown.values()])
    _add_predictions(plot, arms, bars, size)
    add_names(plot, arms, names, 0)
    totals = [f"{bar.measured / size:,.2f}" if math.isfinite(bar.measured) else Outcome.OUT_OF_MEMORY for bar in bars]
    add_values(plot, arms, totals, rounded(bar.end / size for bar in bars))
    drawn = dict.fromkeys(name for bar in bars for name, _ in bar.parts)
    peaks = "; ".join(f"{name}: {show_bytes(bar.measured)}" for name, bar in shown.values())
    return PageFigure(
        name=NAME,
        kind="bars",
        title="Peak memory",
        caption=_caption(memory, drawn, len(bars), known),
        description=f"Bars of peak memory by part. {peaks}.",
        figure=plot,
        data={"reach": highest / size},
        keys=tuple(Key(name, COLOURS[name]) for name in drawn),
    )


def _bars(memory: Sequence[ArmMemory]) -> list[tuple[str, str, Bar]]:
    """Label of the first arm of a bar, name and bar."""
    names: dict[tuple[str, Bar], tuple[str, str]] = {}
    for usage in memory:
        if usage.measured or (usage.predicted and usage.arm.outcome == Outcome.OUT_OF_MEMORY):
            config, label = usage.arm.config, usage.arm.label
            short = arm_label(config) if {"method", "rank", "optimizer"} <= set(config) else label
            measured, predicted = (peak.total if peak else math.inf for peak in (usage.measured, usage.predicted))
            bar = Bar(tuple(_parts(usage).items()), measured, predicted)
            first, _ = names.get((short, bar), (label, label))
            names[short, bar] = (first, short if (short, bar) in names else label)

    def without_infinity(value: float) -> float:  # two NaN are not equal, so that bars would share nothing
        return value if math.isfinite(value) else math.nan

    return [
        (arm, name, bar._replace(measured=without_infinity(bar.measured), predicted=without_infinity(bar.predicted)))
        for (_, bar), (arm, name) in names.items()
    ]


def _parts(usage: ArmMemory) -> dict[str, float]:
    """The parts of the measured peak; where they are unknown, what is allocated all the time, and the rest."""
    if usage.measured is None:
        return {}
    if usage.measured.parts:
        return {MEMORY_PARTS[name]: value for name, value in usage.measured.parts.items()}
    lasting = {MEMORY_PARTS[name]: usage.arm.largest(f"{name}_bytes") for name in LASTING_PARTS}
    lasting = {name: value for name, value in lasting.items() if math.isfinite(value)}
    return {**lasting, REST: max(0.0, usage.measured.total - sum(lasting.values()))}


def _pieces(arms: Sequence[str], bars: Sequence[Bar], size: int) -> list[Piece]:
    pieces = []
    for row, (arm, bar) in enumerate(zip(arms, bars, strict=True)):
        left = 0.0
        for name, value in bar.parts:
            ends = rounded([left / size, (left + value) / size])
            pieces.append(Piece(row, arm, ends[0], ends[1], COLOURS[name]))
            left += value
    return pieces


def _add_predictions(plot: bokeh_figure, arms: Sequence[str], bars: Sequence[Bar], size: int) -> None:
    rows = [row for row, bar in enumerate(bars) if math.isfinite(bar.predicted)]
    columns: Columns = {
        "arm": [arms[row] for row in rows],
        "x": rounded(bars[row].predicted / size for row in rows),
        "top": [row + BAR - HEIGHT * 0.7 for row in rows],
        "bottom": [row + BAR + HEIGHT * 0.7 for row in rows],
        "alpha": [1] * len(rows),
    }
    tick = Segment(x0="x", x1="x", y0="top", y1="bottom", line_width=2, line_alpha="alpha")
    add_glyph(plot, tick, columns, f"{NAME}/predicted").tags = [{"ink": True}]


def _tip(name: str, bar: Bar) -> list[str]:
    known = (("measured", bar.measured), ("predicted", bar.predicted), *bar.parts)
    return [name, *(f"{part}: {show_bytes(value)}" for part, value in known if math.isfinite(value))]


def _caption(memory: Sequence[ArmMemory], drawn: dict[str, None], bars: int, known: int) -> str:
    sources = sorted({source for usage in memory if usage.measured and (source := usage.arm.text(PEAK_SOURCE))})
    parts = [f"Measured by: {', '.join(sources) or 'unknown'}."]
    if MEMORY_PARTS["activation"] in drawn:
        parts.append("Activations are all that is none of the other parts.")
    if REST in drawn:
        parts.append("The rest up to the peak is activations and work space.")
    if any(usage.predicted for usage in memory):
        parts.append("An upright tick marks the peak that was predicted before the trial ran.")
    if bars < known:
        parts.append(f"Of {known:,} different peaks these are the {bars} largest.")
    return " ".join(parts)
