"""Quality against cost: both axes by choice, the arms that none dominates joined by a line."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from bokeh.models import Line, NumeralTickFormatter, Scatter, Segment, Text

from analysis.comparison.arms import Arm
from analysis.comparison.loss_metric import metric_of
from analysis.factors.pareto import Front, dominated
from analysis.figures.arm_styles import ArmStyle
from analysis.figures.curve_range import ASTRAY, near_the_lowest
from analysis.figures.page_figure import Columns, Control, PageFigure, add_glyph, empty_plot, rounded
from analysis.statistics.intervals import Interval
from basis.metrics import METRIC

NAME = "pareto"


class Axis(NamedTuple):
    """What arms may be plotted by.

    Attributes:
        key: its name in the data.
        label: as printed, with its unit.
        lower_is_better: which end of it is the good one.
        values: of each arm; NaN where it has none.
    """

    key: str
    label: str
    lower_is_better: bool
    values: list[Interval]


def draw_pareto(fronts: Sequence[Front], styles: Mapping[str, ArmStyle]) -> PageFigure | None:
    """Loss against what it costs, and each of them against the others.

    Args:
        fronts: the arms by cost and loss, see `analysis.factors.pareto.fronts_of`; a cost that does not compare has
            no points.
        styles: style of each arm.

    Returns:
        The figure, or None where fewer than two arms have comparable losses and another number to plot them by.
    """
    known = list({point.arm.label: point.arm for front in fronts for point in front.points}.values())
    near = set(near_the_lowest([arm.test_loss.estimate for arm in known]))
    arms = [arm for arm in known if arm.test_loss.estimate in near]
    astray = [arm.label for arm in known if arm.test_loss.estimate not in near]
    axes = _axes(arms, fronts) if len(arms) > 1 else []
    if len(axes) < 2:
        return None
    loss, first = axes[0], axes[1]
    columns = _columns(arms, axes, styles)
    plot = empty_plot(NAME, x_range=(0, 1), y_range=(0, 1))
    plot.xaxis.axis_label, plot.yaxis.axis_label = first.label, loss.label
    plot.xaxis.formatter = plot.yaxis.formatter = NumeralTickFormatter(format="0.[000]a")
    front = Line(x="x", y="y", line_width=1.3, line_alpha=0.8)
    add_glyph(plot, front, {"x": [], "y": []}, f"{NAME}/front").tags = [{"muted": True}]
    x, y = first.key, loss.key
    whiskers = [
        Segment(line_color="colour", line_alpha="whisker", line_width=1.3) for _ in "xy"
    ]  # the script says where
    points = Scatter(x=x, y=y, size="size", fill_color="colour", fill_alpha="alpha", line_color=None)
    drawn = add_glyph(plot, points, columns, f"{NAME}/arms")
    for direction, glyph in zip("xy", whiskers, strict=True):
        add_glyph(plot, glyph, {}, f"{NAME}/whiskers {direction}").data_source = drawn.data_source
    names: Columns = {"arm": [], "label": [], "x": [], "y": [], "align": [], "offset": [], "alpha": []}
    text = Text(
        x="x", y="y", text="label", text_align="align", x_offset="offset", text_baseline="middle", text_alpha="alpha",
        text_font_size="12px",
    )  # fmt: skip
    add_glyph(plot, text, names, f"{NAME}/names").tags = [{"ink": True}]
    options = tuple((axis.key, axis.label) for axis in axes)
    found = _fronts(arms, axes)
    best = found[f"{loss.key}|{first.key}"]
    return PageFigure(
        name=NAME,
        kind="pareto",
        title="Loss against cost",
        caption=_caption(axes, astray),
        description=f"{len(arms)} arms by {first.label} and {loss.label}. No arm is better in both than: "
        f"{', '.join(arms[place].label for place in best)}.",
        figure=plot,
        controls=(Control("y", "Show", options), Control("x", "against", (*options[1:], options[0]))),
        data={"fronts": found, "lower": {axis.key: axis.lower_is_better for axis in axes}},
    )


def _axes(arms: list[Arm], fronts: Sequence[Front]) -> list[Axis]:
    """The loss first; then what else two arms or more have, and compares."""
    metric = metric_of(arms)
    axes = [Axis("loss", _labelled("test loss", METRIC[metric].unit), True, [arm.test_loss for arm in arms])]
    for front in fronts:
        costs = {point.arm.label: point.cost / front.unit.size for point in front.points}
        values = [Interval(costs.get(arm.label, math.nan), math.nan, math.nan) for arm in arms]
        axes.append(Axis(front.price.metric, _labelled(front.price.name, front.unit.name), True, values))
    rates = [arm.wins.rate if arm.wins else Interval(math.nan, math.nan, math.nan) for arm in arms]
    axes.append(Axis("wins", "win rate", False, rates))
    forgetting = [arm.mean("forgetting") for arm in arms]
    axes.append(Axis("forgetting", _labelled("forgetting", METRIC["forgetting"].unit), True, forgetting))
    parameters = [Interval(arm.largest("trainable_parameters"), math.nan, math.nan) for arm in arms]
    axes.append(Axis("parameters", "trainable parameters", True, parameters))
    return [axis for axis in axes if len({value.estimate for value in axis.values if _known(value)}) > 1]


def _labelled(name: str, unit: str) -> str:
    return f"{name}, {unit}"


def _known(value: Interval) -> bool:
    return math.isfinite(value.estimate)


def _columns(arms: list[Arm], axes: Sequence[Axis], styles: Mapping[str, ArmStyle]) -> Columns:
    own = [styles[arm.label] for arm in arms]
    columns: Columns = {
        "arm": [arm.label for arm in arms],
        "named": [style.named for style in own],
        "size": [11 if style.named else 6 for style in own],
        "light": [style.colours[0] for style in own],
        "dark": [style.colours[1] for style in own],
        "colour": [style.colours[0] for style in own],
        "alpha": [1] * len(arms),
        "whisker": [0.6 if style.named else 0 for style in own],
    }
    for axis in axes:
        columns[axis.key] = rounded(value.estimate for value in axis.values)
        if any(value.known for value in axis.values):
            columns[f"{axis.key} low"] = rounded(value.low for value in axis.values)
            columns[f"{axis.key} high"] = rounded(value.high for value in axis.values)
    return columns


def _fronts(arms: list[Arm], axes: Sequence[Axis]) -> dict[str, list[int]]:
    """The arms that none dominates, by their places, for each two axes "a|b"."""

    def signed(axis: Axis, place: int) -> float:
        return axis.values[place].estimate if axis.lower_is_better else -axis.values[place].estimate

    fronts = {}
    for one, other in combinations(axes, 2):
        known = [place for place in range(len(arms)) if _known(one.values[place]) and _known(other.values[place])]
        lost = dominated([(signed(one, place), signed(other, place)) for place in known])
        fronts[f"{one.key}|{other.key}"] = [place for place, beaten in zip(known, lost, strict=True) if not beaten]
    return fronts


def _caption(axes: Sequence[Axis], astray: Sequence[str]) -> str:
    parts = ["The line joins the arms that no other arm beats in both. A beaten arm may still be as good: no test"]
    parts.append("stands behind the line, only means.")
    if any(value.known for axis in axes for value in axis.values):
        parts.append("Whiskers are 95 % intervals.")
    if astray:
        parts.append(f"Left out, with a loss more than {ASTRAY:g} times the lowest: {', '.join(astray)}.")
    return " ".join(parts)
