"""The loss curves of a table's arms."""

import math
from collections.abc import Mapping

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.loss_metric import by_text, metric_of
from analysis.drawings.arm_styles import Style, best_loss
from analysis.drawings.canvas import Axes, Figure, drawn_with
from analysis.drawings.drawing import GRID, STYLE, WIDTH, Drawing
from analysis.tables.comparison_table import ComparisonTable
from basis.metrics import METRIC
from basis.outcomes import NOT_COMPARED, Outcome

NAMED_ARMS = 12
"""Arms that one figure tells apart; further ones are drawn in grey."""
GREY_ARMS = 60
"""Arms in grey that are drawn one by one; of more a band shows where most of them lie."""
BAND = (0.05, 0.95)
"""Quantiles of the other arms between which the band lies at each step."""
LETTER = 0.082
"""Inches that a letter of a legend takes."""


def draw_losses(table: ComparisonTable, curves: pd.DataFrame, styles: Mapping[str, Style]) -> Drawing | None:
    """Train and test loss of a table's arms against the step; validation loss where test loss was taken once.

    Args:
        table: the arms to draw.
        curves: rows of all trials, see `Results.curves`.
        styles: style of each arm.

    Returns:
        The drawing, or None where no arm has a loss to draw.
    """
    arms = [arm for arm in table.arms if arm.outcome not in NOT_COMPARED and arm.values("test_loss_best")]
    if not arms:
        return None
    ranked = sorted(arms, key=best_loss)
    validated = all(arm.tested_once for arm in arms)
    held_out = "validation_loss" if validated else metric_of(arms)
    named = {arm.label for arm in ranked[:NAMED_ARMS]}
    columns = _legend_columns([arm.label for arm in ranked[:NAMED_ARMS]])
    others = ranked[NAMED_ARMS:]
    banded = others if len(others) > GREY_ARMS else []
    in_band = {arm.label for arm in banded}
    curves = curves[curves["arm"].isin([arm.label for arm in arms])]
    with drawn_with(STYLE):
        figure = Figure(
            figsize=(WIDTH, 3.6 + 0.21 * math.ceil(min(len(arms), NAMED_ARMS + 1) / columns)), layout="constrained"
        )
        panels = figure.subplots(1, 2, sharex=True)
        cut = False
        for axes, metric in zip(panels, ("train_loss", held_out), strict=True):
            if banded:
                _draw_band(axes, banded, curves, metric)
            for arm in arms:
                if arm.label not in in_band:
                    _draw_curve(axes, arm, curves, metric, styles[arm.label] if arm.label in named else None)
            axes.set(
                title=f"{metric.split('_')[0].capitalize()} loss", xlabel="optimizer steps", ylabel=METRIC[metric].unit
            )
            axes.margins(x=0.02)
            cut = _limit(axes, curves, metric) or cut
        handles, labels = panels[1].get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=min(columns, len(unique)))
    name = "validation loss" if validated else "test loss"
    caption = f"{table.title}: {_units(arms, name, validated)}. A dot marks the lowest {name} of each arm."
    if others:
        caption += f" In colour are the {NAMED_ARMS} arms whose lowest {name} is lowest, in grey the others."
    if banded:
        caption += f" Of these {len(banded):,} the middle 90 % lie in the band at each step."
    if any(arm.outcome == Outcome.DIVERGED for arm in arms):
        caption += " A cross marks the last finite loss of an arm that diverged."
    if cut:
        caption += " Losses far above all starting values are cut off."
    return Drawing(f"loss-{table.anchor}", caption, figure)


def _units(arms: list[Arm], name: str, validated: bool) -> str:
    """What the two panels show, and in which units; a table in bits per byte says so in its title."""
    if not by_text(arms):
        return f"train and {name} in nats per token"
    own = "in nats per token of each model's own tokenizer, which compare within one model alone"
    return f"train and {name} {own}" if validated else f"{name}; train loss {own}"


def _draw_curve(axes: Axes, arm: Arm, curves: pd.DataFrame, metric: str, style: Style | None) -> None:
    """Each seed thin, their mean thick; the mean ends where the first of them ends."""
    if metric not in curves:
        return
    rows = curves[curves["trial"].isin(arm.used["trial"])].dropna(subset=[metric])
    if rows.empty:
        return
    colour, dash, label = (style.colour, style.dash, arm.label) if style else (GRID, "solid", "other arms")
    by_seed = rows.pivot_table(index="step", columns="trial", values=metric, aggfunc="last")
    if by_seed.shape[1] > 1:
        for trial in by_seed:
            seed = by_seed[trial].dropna()
            axes.plot(seed.index, seed, color=colour, linewidth=0.7, alpha=0.45)
    mean = by_seed.dropna().mean(axis=1)
    steps = mean.index.to_numpy(dtype=float)
    alone = "." if len(steps) == 1 else None  # no line is drawn through one point
    order = 3 if style else 1
    axes.plot(steps, mean, color=colour, linestyle=dash, linewidth=1.8, label=label, zorder=order, marker=alone)
    finite = mean.map(math.isfinite).to_numpy()
    steps, losses = steps[finite], mean.to_numpy()[finite]
    if metric != "train_loss" and style and len(losses):
        axes.plot(steps[losses.argmin()], losses.min(), "o", color=colour, markersize=5, zorder=4)
    if arm.outcome == Outcome.DIVERGED and style and len(losses):
        axes.plot(steps[-1], losses[-1], "X", color=colour, markersize=8, zorder=5)


def _legend_columns(labels: list[str]) -> int:
    """As many columns as the figure is wide enough for."""
    return max(1, min(4, int(WIDTH / (0.6 + LETTER * max(map(len, labels), default=1)))))


def _draw_band(axes: Axes, arms: list[Arm], curves: pd.DataFrame, metric: str) -> None:
    """Where most of many arms lie, step by step."""
    if metric not in curves:
        return
    used = [trial for arm in arms for trial in arm.used["trial"]]
    rows = curves[curves["trial"].isin(used) & curves[metric].map(math.isfinite)]
    rows = rows.drop_duplicates(["trial", "step"], keep="last")  # a resumed trial may report a step twice
    low, high = (rows.groupby("step")[metric].quantile(share) for share in BAND)
    axes.fill_between(low.index.to_numpy(dtype=float), low, high, color=GRID, linewidth=0, label="other arms", zorder=1)


def _limit(axes: Axes, curves: pd.DataFrame, metric: str) -> bool:
    """Keep an exploding arm from flattening the others: what goes far beyond every start is cut off."""
    if metric not in curves:
        return False
    values = curves.dropna(subset=[metric])
    values = values[values[metric].map(math.isfinite)]
    if values.empty:
        return False
    highest = 1.1 * float(values.groupby("trial")[metric].first().max())
    if values[metric].max() <= highest:
        return False
    low = float(values[metric].min())
    axes.set_ylim(low - 0.05 * (highest - low), highest)
    return True
