"""Parallel coordinates: a line for each trial through what it was given, what it took and the loss it reached."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from bokeh.models import MultiLine, Segment, Text
from bokeh.plotting import figure as bokeh_figure

from analysis.comparison.arms import Arm
from analysis.comparison.fields import varying_fields
from analysis.comparison.loss_metric import metric_of
from analysis.factors.pareto import unit_for
from analysis.figures.arm_styles import GREY
from analysis.figures.colours import Colours, oklch
from analysis.figures.curve_range import usual_range
from analysis.figures.page_figure import Columns, PageFigure, add_glyph, empty_plot, rounded
from analysis.results.arm_labels import REPLICATE_FIELD
from analysis.results.outcomes import finite
from analysis.wording.values import show_field, texts_apart
from basis.metrics import METRIC
from basis.outcomes import Outcome

NAME = "parallel"
MOST_FACTORS = 7
UNTRIED = (Outcome.NOT_STARTED, Outcome.REPEATED)
BEST = 12
"""Trials of the lowest loss, which stay in full colour however many there are."""
LEVELS = 8
"""Different values up to which an axis names each, in even distances; with more, it is a scale of numbers."""
LOG_RATIO = 20.0
"""Largest to smallest from which on a scale is logarithmic."""
SPREAD = 0.03
"""Of an axis, over which the trials of one level spread, so that each line can be seen."""
AXIS_PIXELS = 104
"""Least width for each axis; a narrower page scrolls the figure sideways."""
HUE = 250


class Trial(NamedTuple):
    """A trial: its arm, what became of it, its seed, its peak in bytes, and its loss if it finished; else NaN."""

    arm: Arm
    outcome: str
    seed: object
    peak_bytes: float
    loss: float


class ParallelAxis(NamedTuple):
    """An axis: its title, the height of each trial from 0 to 1 (NaN without a value), and its labels by height."""

    title: str
    heights: list[float]
    labels: list[tuple[float, str]]


def draw_parallel(arms: Sequence[Arm]) -> PageFigure | None:
    """One line per trial.

    Args:
        arms: all arms of the sweep; repeated trials and those that never began are left out.

    Returns:
        The figure, or None where no factor varies or fewer than two trials have a loss.
    """
    metric = metric_of(arms)
    fields = varying_fields(list(arms))
    shown = fields[:MOST_FACTORS]
    trials = _trials(arms, metric)
    if not fields or sum(math.isfinite(trial.loss) for trial in trials) < 2:
        return None
    trials.sort(key=lambda trial: -trial.loss if math.isfinite(trial.loss) else -math.inf)  # the best is drawn last
    losses = [trial.loss for trial in trials]
    axes = [_factor(name, [trial.arm.config.get(name) for trial in trials]) for name in shown]
    axes += [axis for axis in (_memory([trial.peak_bytes for trial in trials]),) if axis]
    axes.append(_loss(f"{_words(metric)}, {METRIC[metric].unit}", losses))
    return PageFigure(
        name=NAME,
        kind="parallel",
        title="Every trial",
        caption=_caption(losses, len(fields) - len(shown)),
        description=f"{len(trials):,} lines, one per trial, through {', '.join(axis.title for axis in axes)}. "
        f"The lowest loss is that of a trial of {trials[-1].arm.label}.",
        figure=_plot(axes, _lines(trials, axes)),
        data={"axes": len(axes)},
    )


def _trials(arms: Sequence[Arm], metric: str) -> list[Trial]:
    """The trials that have begun."""
    trials = []
    for arm in arms:
        columns = [
            arm.trials[name] if name in arm.trials else [None] * len(arm.trials)
            for name in ("outcome", REPLICATE_FIELD, "peak_bytes", metric)
        ]
        for outcome, seed, peak, loss in zip(*columns, strict=True):
            if outcome not in UNTRIED:
                reached = _number(loss) if outcome == Outcome.FINISHED else math.nan
                trials.append(Trial(arm, str(outcome), seed, _number(peak), reached))
    return trials


def _number(value: Any) -> float:
    return float(value) if finite(value) else math.nan


def _factor(name: str, values: Sequence[Any]) -> ParallelAxis:
    """An axis of a field of the config."""
    numbers = [_number(value) for value in values]
    if all(map(math.isfinite, numbers)) and len(set(numbers)) > LEVELS:
        return _scale(_words(name), numbers, min(numbers), max(numbers))
    levels = sorted({repr(value): value for value in values}.values(), key=_level_order)
    texts = texts_apart(lambda digits: [show_field(level, digits) for level in levels])
    places = {repr(level): (0.5 if len(levels) == 1 else i / (len(levels) - 1)) for i, level in enumerate(levels)}
    at = [places[repr(value)] for value in values]
    labels = [(places[repr(level)], text) for level, text in zip(levels, texts, strict=True)]
    return ParallelAxis(_words(name), _spread(at), labels)


def _level_order(level: Any) -> tuple[bool, bool, float, str]:
    return level is not None, not finite(level), _number(level) if finite(level) else 0.0, str(level)


def _spread(heights: Sequence[float]) -> list[float]:
    """Heights of levels, those of one level a little apart."""
    totals = {height: heights.count(height) for height in set(heights)}
    placed = dict.fromkeys(totals, 0)
    spread = []
    for height in heights:
        share = placed[height] / (totals[height] - 1) - 0.5 if totals[height] > 1 else 0.0
        placed[height] += 1
        spread.append(height + 2 * SPREAD * share)
    return spread


def _scale(title: str, numbers: Sequence[float], low: float, high: float) -> ParallelAxis:
    """An axis of numbers with labels at both ends and between; those beyond lie at its ends."""
    logarithmic = low > 0 and high / low >= LOG_RATIO

    def place(value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        if high <= low:
            return 0.5
        share = math.log(value / low) / math.log(high / low) if logarithmic else (value - low) / (high - low)
        return min(1.0, max(0.0, share))

    def value(share: float) -> float:
        return low * (high / low) ** share if logarithmic else low + share * (high - low)

    ticks = [value(share) for share in ((0.0, 0.25, 0.5, 0.75, 1.0) if high > low else (0.5,))]
    if all(number.is_integer() for number in numbers if math.isfinite(number)):
        ticks = list(dict.fromkeys(float(round(tick)) for tick in ticks))
    texts = texts_apart(lambda digits: [f"{tick:.{max(3, digits)}g}" for tick in ticks])
    return ParallelAxis(title, [place(number) for number in numbers], list(zip(map(place, ticks), texts, strict=True)))


def _memory(peaks: Sequence[float]) -> ParallelAxis | None:
    known = [peak for peak in peaks if math.isfinite(peak)]
    if not known:
        return None
    unit = unit_for("peak_bytes", max(known))
    scaled = [peak / unit.size for peak in peaks]
    return _scale(f"peak memory, {unit.name}", scaled, min(known) / unit.size, max(known) / unit.size)


def _loss(title: str, losses: Sequence[float]) -> ParallelAxis:
    known = [loss for loss in losses if math.isfinite(loss)]
    limits = usual_range(known, min(known), max(known))
    return _scale(title, losses, min(known), min(limits.high, max(known)))


def _lines(trials: Sequence[Trial], axes: Sequence[ParallelAxis]) -> Columns:
    shares = axes[-1].heights
    colours = [_colours(share) for share in shares]
    alpha = round(max(0.12, min(1.0, 80 / len(trials))), 2)
    tips = []
    for trial in trials:
        seed = "" if trial.seed is None else f"seed {trial.seed}: "
        tips.append([trial.arm.label, f"{seed}loss {trial.loss:.4g}" if math.isfinite(trial.loss) else trial.outcome])
    return {
        "arm": [trial.arm.label for trial in trials],
        "x": [list(range(len(axes))) for _ in trials],
        "y": [[round(axis.heights[place], 4) for axis in axes] for place in range(len(trials))],
        "light": [colour[0] for colour in colours],
        "dark": [colour[1] for colour in colours],
        "colour": [colour[0] for colour in colours],
        "alpha": [1 if place >= len(trials) - BEST else alpha for place in range(len(trials))],
        "tip": tips,
    }


def _colours(share: float) -> Colours:
    """The colour of a loss by its height on the axis; grey without one."""
    if not math.isfinite(share):
        return GREY
    steps = round(10 * share) / 10  # few colours are told apart
    light = oklch(0.40 + 0.25 * steps, 0.16 * (1 - steps) + 0.02, HUE)
    return light, oklch(0.84 - 0.30 * steps, 0.13 * (1 - steps) + 0.02, HUE)


def _plot(axes: Sequence[ParallelAxis], columns: Columns) -> bokeh_figure:
    plot = empty_plot(NAME, 380, x_range=(-0.15, len(axes) - 0.35), y_range=(-0.07, 1.16), zooms=False)
    plot.min_width = AXIS_PIXELS * len(axes)
    plot.xaxis.visible = plot.yaxis.visible = plot.xgrid.visible = plot.ygrid.visible = False
    upright: Columns = {"x": list(range(len(axes))), "top": [1.05] * len(axes), "bottom": [-0.05] * len(axes)}
    add_glyph(plot, Segment(x0="x", x1="x", y0="bottom", y1="top"), upright, f"{NAME}/axes").tags = [{"muted": True}]
    width = 1.6 if len(columns["arm"]) <= 60 else 1
    lines = MultiLine(xs="x", ys="y", line_color="colour", line_alpha="alpha", line_width=width)
    add_glyph(plot, lines, columns, f"{NAME}/trials")
    levels = [(place, height, text) for place, axis in enumerate(axes) for height, text in axis.labels]
    labels: Columns = {
        "x": [x for x, _, _ in levels],
        "y": rounded(y for _, y, _ in levels),
        "text": [t for _, _, t in levels],
    }
    text = Text(
        x="x", y="y", text="text", x_offset=7, text_baseline="middle", text_font_size="11.5px",
        background_fill_alpha=0.75,
    )  # fmt: skip
    add_glyph(plot, text, labels, f"{NAME}/levels").tags = [{"ink": True, "backed": True}]
    titles: Columns = {"x": list(range(len(axes))), "y": [1.12] * len(axes), "text": [axis.title for axis in axes]}
    title = Text(x="x", y="y", text="text", text_baseline="middle", text_font_size="11.5px", text_font_style="bold")
    add_glyph(plot, title, titles, f"{NAME}/titles").tags = [{"muted": True}]
    return plot


def _words(name: str) -> str:
    return name.replace("_", " ")


def _caption(losses: Sequence[float], left_out: int) -> str:
    parts = ["Each line is one trial, none is an average; the fuller its colour, the lower its loss."]
    if not all(map(math.isfinite, losses)):
        parts.append("A grey line ends before the loss: that trial did not finish.")
    if left_out:
        parts.append(f"Of the fields that vary {left_out} are left out.")
    return " ".join(parts)
