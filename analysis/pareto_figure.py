"""The Pareto plot: last test loss of each arm against its memory and its training time."""

from collections.abc import Mapping

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from analysis.arms import Arm
from analysis.figures import MUTED, STYLE, WIDTH, Drawing, Style
from analysis.pareto import PRICES, Point, Price, plane, unit_for
from sweep.names import METRIC

GREY = "#a3adb7"
"""Of dominated arms; the colour of no arm."""
OFFSETS = tuple((x, y) for y in (0, 11, -11, 22, -22, 33, -33) for x in (7, -7) if abs(y) < 20 or x > 0)
"""Where a label may stand beside its point, in typographic points, the preferred place first."""


def draw_pareto(arms: list[Arm], styles: Mapping[str, Style]) -> Drawing | None:
    """Last test loss against peak memory and against training time, the arms that none dominates joined by a line.

    Args:
        arms: all arms of the sweep; those without a finished trial are left out.
        styles: style of each arm.

    Returns:
        The drawing, or None where no cost of two arms is known and comparable.
    """
    planes = [(price, points) for price in PRICES if len(points := plane(arms, price)) > 1]
    if not planes:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(WIDTH, 4.4 if max(len(points) for _, points in planes) <= 10 else 6), layout="constrained"
        )
        FigureCanvasAgg(figure)  # measures labels
        panels = figure.subplots(1, len(planes), sharey=True, squeeze=False)[0]
        panels[0].set_ylabel(f"last test loss, {METRIC['test_loss'].unit}")
        for axes, (price, points) in zip(panels, planes, strict=True):
            _draw_points(axes, price, points, styles)
        figure.draw_without_rendering()  # labels are placed where the final layout has the points
        figure.set_layout_engine("none")
        unnamed = [_name_points(axes, *plane_, styles) for axes, plane_ in zip(panels, planes, strict=True)]
    names = " and ".join(price.name for price, _ in planes)
    caption = (
        f"Quality against {names}: lower and further left is better. Small grey arms are dominated: another arm is at "
        "least as good in both and better in one. A line joins the others. "
        "Losses and times are means over the seeds: an arm dominates by its means, not by a test."
    )
    if any(price.metric == "train_seconds" for price, _ in planes):
        caption += " Training times compare only among trials that ran on one device and not side by side."
    if any(unnamed):
        caption += " Dominated arms without room for a name have none."
    return Drawing("pareto", caption, figure)


def _draw_points(axes: Axes, price: Price, points: list[Point], styles: Mapping[str, Style]) -> None:
    unit = unit_for(price.metric, max(point.cost for point in points))
    front = [point for point in points if not point.dominated]
    x, y = [point.cost / unit.size for point in front], [point.loss for point in front]
    axes.plot(x, y, color=MUTED, linewidth=1.2, drawstyle="steps-post", zorder=1)
    for point in points:
        colour, size = (GREY, 5) if point.dominated else (styles[point.arm.label].colour, 9)
        axes.plot(point.cost / unit.size, point.loss, "o", color=colour, markersize=size, zorder=2 + (size > 5))
    axes.set(title=f"Against {price.name}", xlabel=f"{price.name}, {unit.name}")
    axes.margins(x=0.1, y=0.12)


def _name_points(axes: Axes, price: Price, points: list[Point], styles: Mapping[str, Style]) -> bool:
    """Name the arms, those of the front first, where a name covers neither a point nor another name.

    Returns:
        Whether some dominated arm found no room; an arm of the front is named in any case.
    """
    unit = unit_for(price.metric, max(point.cost for point in points)).size
    places = {point.arm.label: axes.transData.transform((point.cost / unit, point.loss)) for point in points}
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in places.values()]
    unnamed = False
    for point in sorted(points, key=lambda point: point.dominated):
        name = axes.annotate(
            point.arm.label,
            (point.cost / unit, point.loss),
            xytext=OFFSETS[0],
            textcoords="offset points",
            va="center",
            color=MUTED if point.dominated else styles[point.arm.label].colour,
            fontsize=7 if point.dominated else 9,
        )
        for offset in OFFSETS:
            name.set_position(offset)
            name.set_horizontalalignment("left" if offset[0] > 0 else "right")
            box = name.get_window_extent()
            if _inside(axes, box) and not any(box.overlaps(other) for other in taken):
                break
        else:
            name.set_position(OFFSETS[0])
            name.set_horizontalalignment("left")
            if point.dominated:
                name.remove()
                unnamed = True
                continue
            box = name.get_window_extent()
        taken.append(box)
    return unnamed


def _inside(axes: Axes, box: Bbox) -> bool:
    frame = axes.get_window_extent()
    return bool(frame.x0 <= box.x0 and box.x1 <= frame.x1 + 4 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
