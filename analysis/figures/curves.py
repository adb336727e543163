"""Loss over the course of training, a line for each arm with its name at the end; trials when an arm is picked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import Line, MultiLine, NumeralTickFormatter, Scatter, Segment, Text, VArea
from bokeh.plotting import figure as bokeh_figure

from analysis.curves.arm_curve import ArmCurve, arm_curves, thinned
from analysis.figures.arm_styles import UNNAMED, ArmStyle
from analysis.figures.curve_range import LossRange, range_of, second_half
from analysis.figures.page_figure import Columns, Control, PageFigure, add_glyph, empty_plot, rounded
from basis.metrics import METRIC
from basis.outcomes import Outcome

NAME = "curves"
METRICS = ("validation_loss", "test_loss", "test_bits_per_byte", "train_loss", "general_loss", "tokens_per_second")
"""What a reader may choose to see, where rows have it."""
OF_ALL_ARMS = 2
"""Metrics that arms without a name are drawn in, the first ones that are offered."""
AXES = (("step", "optimizer steps"), ("tokens", "train tokens"), ("seconds", "training time, s"))
OTHERS_POINTS = 8000
"""Points of all arms without a name together, which bounds the page's size."""
FEWEST_POINTS = 6
MOST_OTHERS = 1000
"""Arms without a name that are drawn; of more every so manieth of the ranking, so that they lie where all lie."""
TRIAL_POINTS = 100
MARKERS = {Outcome.DIVERGED: "x", Outcome.STOPPED: "square", Outcome.INTERRUPTED: "square"}
"""What marks the end of an arm's line that ended before its last step."""


@dataclass(frozen=True)
class MetricCurves:
    """The curves of one metric.

    Attributes:
        metric: its name in the rows.
        named: curves of the arms that have a name in the figure, in the order of their styles.
        others: of the other arms.
        trials: rows of the single trials of each named arm that has several.
        limits: what the axis of the metric reaches over.
        late: likewise, of the second half of the training alone.
    """

    metric: str
    named: list[ArmCurve]
    others: list[ArmCurve]
    trials: dict[str, list[dict[str, Any]]]
    limits: LossRange
    late: LossRange


def draw_curves(
    rows: pd.DataFrame, styles: Mapping[str, ArmStyle], outcomes: Mapping[str, str], first: str = "test_loss"
) -> PageFigure | None:
    """A metric over training, by arm.

    Args:
        rows: one per trial and report, see `Results.curves`.
        styles: by label of an arm, best first; rows of other arms are left out.
        outcomes: what became of the arms, by label.
        first: the metric that is shown at the beginning, where any arm has it.

    Returns:
        The figure, or None where no metric of METRICS was reported twice by one trial.
    """
    rows = rows[rows["arm"].isin(list(styles))]
    offered = [name for name in dict.fromkeys((first, "train_loss", *METRICS)) if _drawable(rows, name)]
    if not offered:
        return None
    metrics = [
        metric_curves(rows, name, styles, outcomes, with_others=place < OF_ALL_ARMS)
        for place, name in enumerate(offered)
    ]
    shown = metrics[0]
    unnamed = sum(not style.named for style in styles.values())
    plot = _plot(shown, styles, outcomes)
    axes = tuple(axis for axis in AXES if _known(metrics, axis[0]))
    return PageFigure(
        name=NAME,
        kind="curves",
        title="Loss over training",
        caption=_caption(metrics, outcomes, unnamed),
        description=_description(shown, unnamed),
        figure=plot,
        controls=(
            Control("y", "Show", tuple((name, name.replace("_", " ")) for name in offered)),
            Control("x", "against", axes),
            Control("part", "over", (("all", "the whole training"), ("late", "its second half"))),
        ),
        data={
            "metrics": {curves.metric: metric_data(curves, whole=curves is not shown) for curves in metrics},
            "ends": {arm: MARKERS[Outcome(end)] for arm, end in outcomes.items() if end in MARKERS},
        },
    )


def metric_curves(
    rows: pd.DataFrame, metric: str, styles: Mapping[str, ArmStyle], outcomes: Mapping[str, str], with_others: bool
) -> MetricCurves:
    """The curves of one metric, those without a name with fewer points."""
    named = [arm for arm, style in styles.items() if style.named]
    by_arm = {curve.arm: curve for curve in arm_curves(rows[rows["arm"].isin(named)], metric)}
    rest = rows[rows["arm"].isin(drawn_of([arm for arm, style in styles.items() if not style.named]))]
    points = max(FEWEST_POINTS, OTHERS_POINTS // max(1, rest["arm"].nunique()))
    others = arm_curves(rest, metric, most_points=min(points, TRIAL_POINTS)) if with_others else []
    shown = [by_arm[arm] for arm in named if arm in by_arm]
    return MetricCurves(
        metric=metric,
        named=shown,
        others=others,
        trials=_trials(rows, metric, shown),
        limits=range_of([*shown, *others], outcomes),
        late=range_of(second_half([*shown, *others]), outcomes),
    )


def drawn_of(others: Sequence[str]) -> list[str]:
    """Those of the arms without a name, best first, that are drawn."""
    step = max(1.0, len(others) / MOST_OTHERS)
    return [others[int(place * step)] for place in range(min(len(others), MOST_OTHERS))]


def metric_data(curves: MetricCurves, whole: bool = True) -> dict[str, Any]:
    """What the page's script needs to show a metric: its axis, and unless it is shown already its points."""
    metric = METRIC[curves.metric]
    told = {
        "label": f"{metric.name.replace('_', ' ')}{f', {metric.unit}' if metric.unit else ''}",
        "range": rounded([curves.limits.low, curves.limits.high]),
        "late": rounded([curves.late.low, curves.late.high]),
        "trials": curves.trials,
    }
    points = {"arms": {curve.arm: curve_columns(curve) for curve in curves.named}, "others": _many(curves.others)}
    return {**told, **(points if whole else {})}


def curve_columns(curve: ArmCurve) -> Columns:
    """The columns of an arm's source."""
    numbers = {name: rounded(getattr(curve, name)) for name in ("mean", "low", "high", "tokens", "seconds")}
    known = {name: values for name, values in numbers.items() if all(map(math.isfinite, values))}
    return {"step": curve.step, **known, "seeds": curve.seeds}


def _plot(shown: MetricCurves, styles: Mapping[str, ArmStyle], outcomes: Mapping[str, str]) -> bokeh_figure:
    last = max((curve.step[-1] for curve in (*shown.named, *shown.others)), default=1)
    limits = shown.limits
    plot = empty_plot(NAME, x_range=(0, last * 1.25), y_range=(limits.low, limits.high))
    plot.xaxis.axis_label = AXES[0][1]
    plot.yaxis.axis_label = metric_data(shown, whole=False)["label"]
    plot.xaxis.formatter = plot.yaxis.formatter = NumeralTickFormatter(format="0.[000]a")
    plot.xgrid.visible = False
    grey = MultiLine(xs="step", ys="mean", line_width=1, line_alpha=max(0.1, min(0.6, 30 / max(1, len(shown.others)))))
    add_glyph(plot, grey, _many(shown.others), f"{NAME}/others", colours=UNNAMED.colours)
    for curve in shown.named:
        name, style, columns = f"{NAME}/{curve.arm}", styles[curve.arm], curve_columns(curve)
        band = VArea(x="step", y1="low", y2="high", fill_alpha=0.16)
        drawn = add_glyph(plot, band, {}, f"{name}/band", curve.arm, style.colours)
        line = Line(x="step", y="mean", line_width=2.2, line_dash=style.dash, line_cap="round", line_join="round")
        drawn.data_source = add_glyph(plot, line, columns, name, curve.arm, style.colours).data_source
    trials = MultiLine(xs="step", ys="value", line_width=1, line_color="colour", line_alpha=0.9)
    add_glyph(plot, trials, {"step": [], "tokens": [], "seconds": [], "value": [], "colour": []}, f"{NAME}/trials")
    ends = [curve for curve in shown.named if outcomes.get(curve.arm) in MARKERS]
    marked = _at_ends(ends, styles) | {"marker": [MARKERS[Outcome(outcomes[curve.arm])] for curve in ends]}
    marks = Scatter(
        x="x",
        y="y",
        marker="marker",
        size=9,
        fill_color="colour",
        line_color="colour",
        line_alpha="alpha",
        line_width=2,
    )
    add_glyph(plot, marks, marked, f"{NAME}/ends")
    leaders = Segment(x0="x", y0="y", x1="label_x", y1="label_y", line_color="colour", line_alpha="alpha", line_width=1)
    names = add_glyph(plot, leaders, _at_ends(shown.named, styles), f"{NAME}/labels")
    text = Text(
        x="label_x",
        y="label_y",
        text="label",
        x_offset=4,
        text_baseline="middle",
        text_font_size="12px",
        text_alpha="alpha",
    )
    written = add_glyph(plot, text, {}, f"{NAME}/names")
    written.data_source, written.tags = names.data_source, [{"ink": True}]
    return plot


def _at_ends(curves: Sequence[ArmCurve], styles: Mapping[str, ArmStyle]) -> Columns:
    """Columns of marks at the last points of lines; the page's script moves the labels apart."""
    colours = [styles[curve.arm].colours for curve in curves]
    x, y = [float(curve.step[-1]) for curve in curves], rounded(curve.mean[-1] for curve in curves)
    light, dark = [colour[0] for colour in colours], [colour[1] for colour in colours]
    labels = {"label_x": list(x), "label_y": list(y)}
    arms = [curve.arm for curve in curves]
    return {
        "arm": arms,
        "label": arms,
        "alpha": [1] * len(arms),
        "x": x,
        "y": y,
        **labels,
        "light": light,
        "dark": dark,
        "colour": list(light),
    }


def _many(curves: Sequence[ArmCurve]) -> Columns:
    """Columns of one source for many arms; thinned so far, their numbers need few digits."""
    columns: Columns = {"arm": [curve.arm for curve in curves], "step": [curve.step for curve in curves]}
    for name, digits in (("tokens", 4), ("seconds", 3), ("mean", 5)):
        values = [[_short(value, digits) for value in getattr(curve, name)] for curve in curves]
        if all(math.isfinite(value) for points in values for value in points):
            columns[name] = values
    return columns


def _short(value: float, digits: int) -> float:
    value = float(f"{value:.{digits}g}")
    return int(value) if value.is_integer() else value


def _trials(rows: pd.DataFrame, metric: str, named: Sequence[ArmCurve]) -> dict[str, list[dict[str, Any]]]:
    """The single trials of the arms that have several."""
    own = rows[rows["arm"].isin([curve.arm for curve in named])]
    values = pd.to_numeric(own[metric], errors="coerce")
    own = own.assign(value=values)[np.isfinite(values)].sort_values("step")
    trials: dict[str, list[dict[str, Any]]] = {}
    for arm, of_arm in own.groupby("arm", sort=False):
        if of_arm["trial"].nunique() > 1:
            by_trial = of_arm.groupby("trial", sort=False)
            trials[str(arm)] = [_trial(str(name), thinned(points, TRIAL_POINTS)) for name, points in by_trial]
    return trials


def _trial(name: str, points: pd.DataFrame) -> dict[str, Any]:
    columns = {"step": "step", "tokens": "tokens_seen", "seconds": "train_seconds", "value": "value"}
    known = {key: rounded(points[column]) for key, column in columns.items() if column in points}
    return {"trial": name, **{key: values for key, values in known.items() if all(map(math.isfinite, values))}}


def _drawable(rows: pd.DataFrame, metric: str) -> bool:
    if metric not in rows:
        return False
    values = pd.to_numeric(rows[metric], errors="coerce")
    return bool((rows[np.isfinite(values)].groupby("trial")["step"].nunique() > 1).any())


def _known(metrics: Sequence[MetricCurves], axis: str) -> bool:
    curves = [curve for metric in metrics for curve in (*metric.named, *metric.others)]
    return all(math.isfinite(value) for curve in curves for value in getattr(curve, axis))


def _more(drawn: int, unnamed: int) -> str:
    """How many of the arms without a name are drawn."""
    return f"{drawn:,} of {unnamed:,} more" if unnamed > MOST_OTHERS else f"{drawn:,} more"


def _caption(metrics: Sequence[MetricCurves], outcomes: Mapping[str, str], unnamed: int) -> str:
    shown = metrics[0]
    several = any(count > 1 for curve in shown.named for count in curve.seeds)
    parts = ["Each line is an arm."]
    if several:
        parts.append("It is the mean of its seeds; the band reaches from the lowest to the highest of them.")
    if any(metric.trials for metric in metrics):
        parts.append("Pick an arm to see its single trials.")
    if shown.others:
        more = _more(len(shown.others), unnamed)
        parts.append(f"Named are the {len(shown.named)} arms of the lowest loss; {more} are grey.")
    ended = {Outcome(outcomes[curve.arm]) for curve in shown.named if outcomes.get(curve.arm) in MARKERS}
    if Outcome.DIVERGED in ended:
        parts.append("A cross marks the last finite value of an arm that diverged.")
    if ended - {Outcome.DIVERGED}:
        parts.append("A square marks where an arm was stopped.")
    if cut := [METRIC[metric.metric].name.replace("_", " ") for metric in metrics if metric.limits.cut]:
        parts.append(f"Values far above those of most arms are cut off ({', '.join(cut)}).")
    return " ".join(parts)


def _description(shown: MetricCurves, unnamed: int) -> str:
    metric = METRIC[shown.metric]
    ends = [f"{curve.arm} ends at {curve.mean[-1]:.4g}" for curve in shown.named]
    more = f", and {_more(len(shown.others), unnamed)} arms" if shown.others else ""
    return f"Lines of {metric.meaning} over training, {metric.unit}: {'; '.join(ends)}{more}."
