"""The win rates of arms against their base model."""

from collections.abc import Mapping

from analysis.comparison.arms import Arm
from analysis.comparison.base_models import base_model
from analysis.drawings.arm_styles import Style
from analysis.drawings.canvas import Figure, drawn_with
from analysis.drawings.drawing import INK, MOST_BARS, MUTED, STYLE, WIDTH, Drawing
from basis.outcomes import NOT_COMPARED


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
