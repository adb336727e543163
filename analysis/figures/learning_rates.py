"""Loss against the learning rate, a line for each group of trials or arms that differ in nothing else."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.models import FixedTicker, MultiLine, NumeralTickFormatter, Scatter, Segment, Text
from bokeh.plotting import figure as bokeh_figure

from analysis.comparison.arms import Arm
from analysis.comparison.rate_groups import RateGroup, Tried, rate_groups
from analysis.figures.arm_styles import ArmStyle, styles_of
from analysis.figures.curve_range import LossRange, usual_range
from analysis.figures.page_figure import Columns, Control, PageFigure, add_glyph, empty_plot, rounded
from analysis.wording.numbers import show_interval
from analysis.wording.values import show_field
from basis.metrics import METRIC

NAME = "learning_rates"


def draw_learning_rates(arms: Sequence[Arm], tuning: Sequence[Arm], chosen_by: str) -> PageFigure | None:
    """Loss against the learning rate.

    Args:
        arms: all arms of the sweep; their test losses.
        tuning: its tuning trials as arms of one trial each.
        chosen_by: the metric by which tuning trials were chosen.

    Returns:
        The figure, or None where nothing differs in its learning rate alone.
    """
    tested = arms[0].loss_metric if arms else "test_loss"
    groups = {
        metric: found
        for metric, members in ((chosen_by, tuning), (tested, arms))
        if (found := rate_groups(members, metric))
    }
    if not groups:
        return None
    ranked = [group for found in groups.values() for group in sorted(found, key=lambda group: group.best.loss.estimate)]
    styles = styles_of({group.label: group.config for group in ranked})
    data = {metric: _data(metric, found, styles) for metric, found in groups.items()}
    first = next(iter(groups))
    best = "; ".join(f"{group.label}: {show_field(group.best.rate)}" for group in groups[first])
    words = {chosen_by: f"tuning trials, {_words(chosen_by)}", tested: f"arms, {_words(tested)}"}
    return PageFigure(
        name=NAME,
        kind="rates",
        title="Loss against learning rate",
        caption=_caption(groups),
        description=f"{_words(first).capitalize()} against learning rate. The best rate of each line: {best}.",
        figure=_plot(data[first], [rate for told in data.values() for rate in told["rates"]]),
        controls=(Control("y", "Show", tuple((metric, words[metric]) for metric in groups)),),
        data={"metrics": {metric: _without_points(told) if metric == first else told for metric, told in data.items()}},
    )


def _data(metric: str, groups: Sequence[RateGroup], styles: Mapping[str, ArmStyle]) -> dict[str, Any]:
    """The columns that the figure shows of a metric, and its axes."""
    finite = [one.loss.estimate for group in groups for one in group.tried if math.isfinite(one.loss.estimate)]
    limits = usual_range(finite, min(finite), max(finite))
    rates = [one.rate for group in groups for one in group.tried]
    return {
        "label": f"{_words(metric)}, {METRIC[metric].unit}",
        "range": rounded([limits.low, limits.high]),
        "rates": rounded([min(rates), max(rates)]),
        "lines": _lines(groups, styles, limits),
        "points": _points(groups, styles, limits),
    }


def _without_points(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of the metric that the plot already shows."""
    return {name: value for name, value in data.items() if name not in ("lines", "points")}


def _lines(groups: Sequence[RateGroup], styles: Mapping[str, ArmStyle], limits: LossRange) -> Columns:
    """A line for each group of which nothing but the rate differs, through what finished of it."""
    groups = [group for group in _grey_first(groups, styles) if group.alone]
    done = [[one for one in group.tried if math.isfinite(one.loss.estimate)] for group in groups]
    own = [styles[group.label] for group in groups]
    return {
        "arm": [group.label for group in groups],
        "named": [style.named for style in own],
        "x": [rounded(one.rate for one in line) for line in done],
        "y": [rounded(min(one.loss.estimate, limits.high) for one in line) for line in done],
        "dash": [style.dash for style in own],
        **_colours(own),
    }


def _points(groups: Sequence[RateGroup], styles: Mapping[str, ArmStyle], limits: LossRange) -> Columns:
    both = [(group, one) for group in _grey_first(groups, styles) for one in group.tried]
    heights = [
        min(one.loss.estimate, limits.high) if math.isfinite(one.loss.estimate) else limits.high for _, one in both
    ]
    ends = [
        (one.loss.low, one.loss.high) if one.loss.known else (y, y) for (_, one), y in zip(both, heights, strict=True)
    ]
    lows, highs = zip(*ends, strict=True)
    return {
        "arm": [group.label for group, _ in both],
        "name": [one.name for _, one in both],
        "x": rounded(one.rate for _, one in both),
        "y": rounded(heights),
        "low": rounded(max(low, limits.low) for low in lows),
        "high": rounded(min(high, limits.high) for high in highs),
        "marker": [_marker(group, one, limits) for group, one in both],
        "size": [(13 if one is group.best else 8) if styles[group.label].named else 4 for group, one in both],
        "tip": [_tip(group, one) for group, one in both],
        **_colours([styles[group.label] for group, _ in both]),
    }


def _grey_first(groups: Sequence[RateGroup], styles: Mapping[str, ArmStyle]) -> list[RateGroup]:
    """The groups in the order in which they are drawn, those that have a name over the others."""
    return sorted(groups, key=lambda group: styles[group.label].named)


def _marker(group: RateGroup, one: Tried, limits: LossRange) -> str:
    if not math.isfinite(one.loss.estimate):
        return "x"
    return "triangle" if one.loss.estimate > limits.high else "star" if one is group.best else "circle"


def _tip(group: RateGroup, one: Tried) -> list[str]:
    loss = show_interval(one.loss, 4) if math.isfinite(one.loss.estimate) else one.outcome
    return [group.label, f"learning rate {show_field(one.rate)}{', the best' if one is group.best else ''}", str(loss)]


def _colours(styles: Sequence[ArmStyle]) -> Columns:
    light, dark = [style.colours[0] for style in styles], [style.colours[1] for style in styles]
    return {"light": light, "dark": dark, "colour": list(light), "alpha": [1] * len(styles)}


def _ticks(low: float, high: float) -> list[float]:
    """Round learning rates in and around a range."""
    decades = math.log10(high / low)
    steps = (1, 2, 5) if decades < 1.3 else (1, 3) if decades < 2.6 else (1,)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [float(f"{step}e{power}") for power in powers for step in steps]


def _plot(data: Mapping[str, Any], rates: Sequence[float]) -> bokeh_figure:
    low, high = data["rates"]
    plot = empty_plot(NAME, x_axis_type="log", x_range=(low / 1.3, high * 3), y_range=tuple(data["range"]))
    plot.xaxis.axis_label, plot.yaxis.axis_label = "learning rate", data["label"]
    ticks = _ticks(min(rates), max(rates))
    plot.xaxis.ticker = FixedTicker(ticks=ticks)
    plot.xaxis.major_label_overrides = {tick: f"{tick:g}" for tick in ticks}
    plot.yaxis.formatter = NumeralTickFormatter(format="0.[000]a")
    lines = MultiLine(xs="x", ys="y", line_width=2, line_color="colour", line_alpha="alpha", line_dash="dash")
    add_glyph(plot, lines, data["lines"], f"{NAME}/lines")
    whiskers = Segment(x0="x", x1="x", y0="low", y1="high", line_color="colour", line_alpha="alpha", line_width=1.3)
    points = Scatter(
        x="x", y="y", marker="marker", size="size", fill_color="colour", fill_alpha="alpha", line_color="colour",
        line_alpha="alpha", line_width=1.5,
    )  # fmt: skip
    drawn = add_glyph(plot, points, data["points"], f"{NAME}/points")
    add_glyph(plot, whiskers, {}, f"{NAME}/whiskers").data_source = drawn.data_source
    leaders = Segment(x0="x", y0="y", x1="label_x", y1="label_y", line_color="colour", line_alpha="alpha", line_width=1)
    columns = ("arm", "label", "x", "y", "label_x", "label_y", "light", "dark", "colour", "alpha")
    names = add_glyph(plot, leaders, {name: [] for name in columns}, f"{NAME}/labels")
    text = Text(x="label_x", y="label_y", text="label", x_offset=4, text_baseline="middle", text_font_size="12px", text_alpha="alpha")  # fmt: skip  # noqa: E501
    written = add_glyph(plot, text, {}, f"{NAME}/names")
    written.data_source, written.tags = names.data_source, [{"ink": True}]
    return plot


def _words(metric: str) -> str:
    return metric.replace("_", " ")


def _caption(groups: Mapping[str, Sequence[RateGroup]]) -> str:
    alone = all(group.alone for found in groups.values() for group in found)
    parts = ["Along a line nothing but the learning rate differs." if alone else "More than the learning rate differs."]
    parts.append("A star marks the lowest loss.")
    tried = [one for found in groups.values() for group in found for one in group.tried]
    if any(one.loss.known for one in tried):
        parts.append("Whiskers are 95 % intervals over the seeds.")
    if any(not math.isfinite(one.loss.estimate) for one in tried):
        parts.append("A cross at the top marks a rate whose trial did not finish.")
    if len(groups) > 1:
        parts.append("Tuning trials were tested on validation windows, the arms on test windows.")
    return " ".join(parts)
