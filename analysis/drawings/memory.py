"""The memory figure: the peak of each arm, stacked from its parts, with a mark where it was predicted."""

import math
from typing import NamedTuple

from analysis.drawings.canvas import Axes, Figure, drawn_with
from analysis.drawings.drawing import INK, MOST_BARS, MUTED, STYLE, WIDTH, Drawing
from analysis.tables.peak_memory import ArmMemory
from analysis.wording.numbers import GIB, MIB
from basis.fields import arm_label
from basis.metrics import LASTING_PARTS, MEMORY_PARTS, PEAK_SOURCE
from basis.outcomes import Outcome

REST = "rest up to the peak"
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


class Bar(NamedTuple):
    """What is drawn of an arm: bytes by name of a part, in a stack, and the two peaks; NaN where there is none."""

    segments: tuple[tuple[str, float], ...]
    measured: float
    predicted: float


def draw_memory(memory: list[ArmMemory]) -> Drawing | None:
    """Peak memory of each arm, stacked from what is known of its parts, with a tick at the predicted peak.

    Args:
        memory: what `memory_of_arms` returned; arms of the same short name and the same bytes share one bar.

    Returns:
        The drawing, or None where no peak was measured.
    """
    bars: dict[tuple[str, Bar], str] = {}
    for usage in memory:
        if usage.measured or (usage.predicted and usage.arm.outcome == Outcome.OUT_OF_MEMORY):
            config = usage.arm.config
            short = arm_label(config) if {"method", "rank", "optimizer"} <= set(config) else usage.arm.label
            key = (short, _bar(usage))
            bars[key] = short if key in bars else usage.arm.label
    if not any(usage.measured for usage in memory):
        return None
    known = len(bars)
    if known > MOST_BARS:
        largest = sorted(bars, key=lambda key: -_size(key[1]))[:MOST_BARS]
        bars = {key: name for key, name in bars.items() if key in largest}
    highest = max(max(bar.measured, bar.predicted) for _, bar in bars)
    unit, size = ("GiB", GIB) if highest >= GIB else ("MiB", MIB)
    with drawn_with({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(WIDTH, 1.4 + 0.34 * len(bars)), layout="constrained")
        axes = figure.subplots()
        for row, (_, bar) in enumerate(bars):
            _draw_bar(axes, row, bar, size)
        axes.set_yticks(range(len(bars)), list(bars.values()))
        axes.invert_yaxis()
        axes.set_xlabel(f"peak memory, {unit}")
        axes.margins(x=0.09)
        axes.set_xlim(left=0)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        handles, labels = axes.get_legend_handles_labels()
        unique = dict(sorted(zip(labels, handles, strict=True), key=lambda pair: pair[0] == PREDICTED))
        figure.legend(unique.values(), unique.keys(), loc="outside upper center", ncols=len(unique))
    caption = _caption(memory, set(unique))
    if len(bars) < known:
        caption += f" Of {known:,} different peaks these are the {len(bars)} largest."
    return Drawing("memory", caption, figure)


def _size(bar: Bar) -> float:
    return max(value for value in (bar.measured, bar.predicted, 0.0) if math.isfinite(value))


def _bar(usage: ArmMemory) -> Bar:
    return Bar(
        tuple(_segments(usage).items()),
        usage.measured.total if usage.measured else math.nan,
        usage.predicted.total if usage.predicted else math.nan,
    )


def _segments(usage: ArmMemory) -> dict[str, float]:
    """The parts of the measured peak; where they are unknown, what is allocated all the time, and the rest."""
    if usage.measured is None:
        return {}
    if usage.measured.parts:
        return {MEMORY_PARTS[name]: value for name, value in usage.measured.parts.items()}
    lasting = {MEMORY_PARTS[name]: usage.arm.largest(f"{name}_bytes") for name in LASTING_PARTS}
    lasting = {name: value for name, value in lasting.items() if math.isfinite(value)}
    return {**lasting, REST: max(0.0, usage.measured.total - sum(lasting.values()))}


def _draw_bar(axes: Axes, row: int, bar: Bar, size: int) -> None:
    left = 0.0
    for name, value in bar.segments:
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


def _caption(memory: list[ArmMemory], drawn: set[str]) -> str:
    sources = sorted({source for usage in memory if usage.measured and (source := usage.arm.text(PEAK_SOURCE))})
    caption = f"Peak memory and what it consists of, measured by: {', '.join(sources) or 'unknown'}."
    if MEMORY_PARTS["activation"] in drawn:
        caption += " Activations are all that is none of the other parts."
    if REST in drawn:
        caption += " The rest up to the peak is activations and work space."
    if PREDICTED in drawn:
        caption += " An upright tick marks the peak that was predicted before the trial ran."
    return caption
