"""The Pareto plot: last test loss of each arm against its memory and its training time."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from analysis.comparison.loss_metric import metric_of
from analysis.drawings.arm_styles import Style
from analysis.drawings.canvas import Axes, Bbox, Figure, FigureCanvasAgg, drawn_with, pixels_per_point
from analysis.drawings.drawing import MUTED, STYLE, WIDTH, Drawing
from analysis.factors.pareto import TIME, Front
from analysis.statistics.intervals import Values
from basis.metrics import METRIC

GREY = "#a3adb7"
"""Of dominated arms; the colour of no arm."""
OFFSETS = tuple((x, y) for y in (0, 10, -10, 20, -20, 30, -30, 40, -40) for x in (8, -8))
"""Where a label may stand beside its point, in typographic points, the preferred place first."""
NEAR = 10
"""Typographic points up to which a label needs no leader to its point."""
LEADER = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3}
NAMED = 30
"""Names that are placed at most, of the front first: more would not be read, and each looks for room among all points.
"""
RADIUS = 7
"""Pixels around a point that no label may cover."""


def draw_pareto(fronts: Sequence[Front], styles: Mapping[str, Style]) -> Drawing | None:
    """Last test loss against peak memory and against training time, the arms that none dominates joined by a line.

    Args:
        fronts: the arms by cost and loss, see `pareto.fronts_of`.
        styles: style of each arm.

    Returns:
        The drawing, or None where no cost of two arms is known and comparable.
    """
    shown = [front for front in fronts if len(front.points) > 1]
    if not shown:
        return None
    with drawn_with(STYLE):
        figure = Figure(
            figsize=(WIDTH, 4.4 if max(len(front.points) for front in shown) <= 10 else 6), layout="constrained"
        )
        FigureCanvasAgg(figure)  # measures labels
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        panels[0].set_ylabel(f"last test loss, {METRIC[metric_of([point.arm for point in shown[0].points])].unit}")
        for axes, front in zip(panels, shown, strict=True):
            _draw_points(axes, front, styles)
        figure.draw_without_rendering()  # labels are placed where the final layout has the points
        figure.set_layout_engine("none")
        unnamed = [_name_points(axes, front, styles) for axes, front in zip(panels, shown, strict=True)]
    names = " and ".join(front.price.name for front in shown)
    timed = any(front.price.metric == TIME for front in shown)
    caption = (
        f"Quality against {names}: lower and further left is better. Small grey arms are dominated: another arm is at "
        "least as good in both and better in one. A line joins the others. "
        f"Losses{' and times' if timed else ''} are means over the seeds: an arm dominates by its means, not by a test."
    )
    if timed:
        caption += " No two of the trials ran side by side, all on one kind of device, so that their times compare."
    if any(unnamed):
        caption += f" Dominated arms without room for a name have none, and at most {NAMED} are named."
    return Drawing("pareto", caption, figure)


def _draw_points(axes: Axes, front: Front, styles: Mapping[str, Style]) -> None:
    unit = front.unit
    best = [point for point in front.points if not point.dominated]
    x, y = [point.cost / unit.size for point in best], [point.loss for point in best]
    axes.plot(x, y, color=MUTED, linewidth=1.2, drawstyle="steps-post", zorder=1)
    lost = [point for point in front.points if point.dominated]
    axes.plot([p.cost / unit.size for p in lost], [p.loss for p in lost], "o", color=GREY, markersize=5, zorder=2)
    for point in best:
        colour = styles[point.arm.label].colour
        axes.plot(point.cost / unit.size, point.loss, "o", color=colour, markersize=9, zorder=3)
    axes.set(title=f"Against {front.price.name}", xlabel=f"{front.price.name}, {unit.name}")
    axes.margins(x=0.1, y=0.12)


def _name_points(axes: Axes, front: Front, styles: Mapping[str, Style]) -> bool:
    """Name the arms, those of the front first, where a name covers no point, no other name and not the line.

    Returns:
        Whether some arm has no name: a dominated one without room, or any beyond NAMED.
    """
    points, unit = front.points, front.unit.size
    at: Values = axes.transData.transform([(point.cost / unit, point.loss) for point in points])
    places: list[tuple[float, float]] = [(x, y) for x, y in at.tolist()]
    best = [place for place, point in zip(places, points, strict=True) if not point.dominated]
    edges = []
    for (x, y), (next_x, next_y) in pairwise(best):  # the two edges of a step
        edges += [(x, y - 1, next_x, y + 1), (next_x - 1, next_y, next_x + 1, y)]
    taken = np.vstack([np.hstack([at - RADIUS, at + RADIUS]), np.reshape(edges, (-1, 4))])
    ordered = sorted(zip(points, places, strict=True), key=lambda both: both[0].dominated)
    unnamed = len(ordered) > NAMED
    for point, place in ordered[:NAMED]:
        colour, size = (MUTED, 7) if point.dominated else (styles[point.arm.label].colour, 9)
        offset, box = _room(axes, point.arm.label, size, place, taken)
        if offset is None and point.dominated:
            unnamed = True
            continue
        x, y = offset or OFFSETS[0]
        axes.annotate(
            point.arm.label,
            (point.cost / unit, point.loss),
            xytext=(x, y),
            textcoords="offset points",
            ha="left" if x > 0 else "right",
            va="center",
            color=colour,
            fontsize=size,
            arrowprops={**LEADER, "relpos": (0 if x > 0 else 1, 0.5)} if abs(y) > NEAR else None,
            zorder=4,
        )
        taken = np.vstack([taken, box.extents])
    return unnamed


def _room(
    axes: Axes, label: str, size: float, place: tuple[float, float], taken: Values
) -> tuple[tuple[float, float] | None, Bbox]:
    """The first of OFFSETS at which a label covers nothing that is taken, and its box in pixels; None without room.

    Args:
        axes: where the label is to stand.
        label: its text.
        size: of its letters, in typographic points.
        place: of its point, in pixels.
        taken: (boxes, 4) two opposite corners of each box, in pixels.
    """
    low, high = np.minimum(taken[:, :2], taken[:, 2:]), np.maximum(taken[:, :2], taken[:, 2:])
    probe = axes.text(0, 0, label, fontsize=size)
    extent = probe.get_window_extent()
    probe.remove()
    scale = pixels_per_point()
    frame = axes.get_window_extent()
    boxes = []
    for x, y in OFFSETS:
        left = place[0] + x * scale - (extent.width if x < 0 else 0)
        box = Bbox.from_bounds(left, place[1] + y * scale - extent.height / 2, extent.width, extent.height)
        boxes.append(box)
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        if inside and not ((low <= box.max) & (box.min <= high)).all(axis=1).any():
            return (x, y), box
    return None, boxes[0]
