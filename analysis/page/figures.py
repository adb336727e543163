"""The figures of a report: loss curves and win rates, as matplotlib figures and as text of an SVG."""

import html
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.base_models import base_model
from analysis.comparison.loss_metric import by_text, metric_of
from analysis.page.canvas import Axes, Figure, drawn_with
from analysis.tables.comparison_table import ComparisonTable
from basis.metrics import METRIC
from basis.outcomes import NOT_COMPARED, Outcome

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
"""Colours told apart with any colour vision: Okabe and Ito, "Color Universal Design" (2008), and one violet."""
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
WIDTH = 11.0
"""Inches; the page shows a figure at about 100 pixels per inch."""
NAMED_ARMS = 12
"""Arms that one figure tells apart; further ones are drawn in grey."""
GREY_ARMS = 60
"""Arms in grey that are drawn one by one; of more a band shows where most of them lie."""
BAND = (0.05, 0.95)
"""Quantiles of the other arms between which the band lies at each step."""
LETTER = 0.082
"""Inches that a letter of a legend takes."""
MOST_BARS = 30
"""Arms that a figure with one row per arm has room for."""

INK, MUTED, GRID = "#1f2933", "#66727f", "#dde2e7"
_PAGE_COLOURS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)"}
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "savefig.transparent": True,
}


class Style(NamedTuple):
    """How an arm is drawn, in every figure of a report."""

    colour: str
    dash: str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Drawing:
    """A figure with the name of its file, a caption and what it shows in words."""

    name: str
    caption: str
    figure: Figure


def arm_styles(arms: list[Arm]) -> dict[str, Style]:
    """One colour and dash per arm, by label, so that an arm looks the same in every figure.

    Args:
        arms: all arms of the sweep.

    Returns:
        Style by label; the dash changes when the colours have all been used.
    """
    drawn = sorted(
        arms, key=lambda arm: arm.outcome in (*NOT_COMPARED, Outcome.NOT_STARTED)
    )  # these need no colour of their own
    if len(drawn) > len(PALETTE) * len(DASHES):  # those that figures name shall differ
        drawn.sort(key=_best_loss)
    return {
        arm.label: Style(PALETTE[i % len(PALETTE)], DASHES[i // len(PALETTE) % len(DASHES)])
        for i, arm in enumerate(drawn)
    }


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
    ranked = sorted(arms, key=_best_loss)
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
            cut = _limit(axes, arms, curves, metric) or cut
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


def draw_win_rates(arms: list[Arm], styles: Mapping[str, Style]) -> Drawing | None:
    """Win rate of each arm against its base model with the interval, and a tick where it wins as often as it loses.

    Args:
        arms: all arms of the sweep.
        styles: style of each arm.

    Returns:
        The drawing, or None where no arm has reward metrics.
    """
    known = [(arm, wins) for arm in arms if arm.outcome not in NOT_COMPARED and (wins := arm.wins)]
    if not known:
        return None
    shown, base = known, base_model([arm for arm, _ in known])
    if len(known) > MOST_BARS:
        shown = sorted(known, key=lambda one: -one[1].rate.estimate)[:MOST_BARS]
    with drawn_with({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(WIDTH, 1.1 + 0.34 * len(shown)), layout="constrained")
        axes = figure.subplots()
        for row, (arm, wins) in enumerate(shown):
            colour = styles[arm.label].colour
            axes.plot([wins.rate.low, wins.rate.high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
            axes.plot(wins.rate.estimate, row, "o", color=colour, markersize=7)
            even = (wins.wins + wins.losses) / 2 / (wins.wins + wins.ties + wins.losses)
            axes.plot(
                [even, even], [row - 0.3, row + 0.3], color=INK, linewidth=1.6, solid_capstyle="butt", label="even"
            )
            counts = f"{wins.wins} / {wins.ties} / {wins.losses}"
            axes.text(1.02, row, counts, transform=axes.get_yaxis_transform(), va="center", color=MUTED)
        axes.text(1.02, 1.0, "wins / ties / losses", transform=axes.transAxes, va="bottom", color=MUTED, fontsize=8.5)
        axes.set_yticks(range(len(shown)), [arm.label for arm, _ in shown])
        axes.set(
            xlim=(0, 1),
            ylim=(len(shown) - 0.4, -0.6),
            xlabel=f"win rate against {base}",
        )
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
    caption = (
        "Win rate with its 95 % interval (Wilson). Ties count as no win, so the upright tick of each arm marks the win "
        "rate at which it would win as often as it loses: (1 - share of ties) / 2."
    )
    if len(shown) < len(known):
        caption += (
            f" Of {len(known):,} arms these are the {len(shown)} of the highest win rate, which are flattered by it."
        )
    return Drawing("win-rate", caption, figure)


def to_png(drawing: Drawing) -> bytes:
    """The drawing as a PNG on white."""
    buffer = io.BytesIO()
    with drawn_with(STYLE):
        drawing.figure.savefig(buffer, format="png", dpi=160, facecolor="white", transparent=False)
    return buffer.getvalue()


def to_svg(drawing: Drawing) -> str:
    """The drawing as an <svg> element to stand within a page: its inks and font are those of the page.

    Ids get the drawing's name in front, since several drawings share one page.
    """
    buffer = io.StringIO()
    with drawn_with({**STYLE, "svg.hashsalt": drawing.name}):
        drawing.figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{drawing.name}-", text)
    text = re.sub(r"(font: [^;\"]*?)'DejaVu Sans'[^;\"]*", r"\1var(--sans)", text)
    for colour, variable in _PAGE_COLOURS.items():
        text = text.replace(colour, variable)
    named = f'role="img" aria-label="{html.escape(drawing.caption)}"'
    return re.sub(
        r'<svg (.*?)width="[^"]*" height="[^"]*"|<svg ', lambda tag: f"<svg {named} {tag[1] or ''}", text, count=1
    )


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


def _best_loss(arm: Arm) -> tuple[float, ...]:
    """The lowest test loss of an arm, then its last one, to sort by."""
    losses = (loss.estimate for loss in (arm.best_test_loss, arm.test_loss))
    return tuple(loss if math.isfinite(loss) else math.inf for loss in losses)


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


def _limit(axes: Axes, arms: list[Arm], curves: pd.DataFrame, metric: str) -> bool:
    """Keep an exploding arm from flattening the others: what goes far beyond every start is cut off."""
    if metric not in curves:
        return False
    labels = [arm.label for arm in arms]
    values = curves[curves["arm"].isin(labels)].dropna(subset=[metric])
    values = values[values[metric].map(math.isfinite)]
    if values.empty:
        return False
    highest = 1.1 * float(values.groupby("trial")[metric].first().max())
    if values[metric].max() <= highest:
        return False
    low = float(values[metric].min())
    axes.set_ylim(low - 0.05 * (highest - low), highest)
    return True
