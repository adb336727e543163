"""Prompts won and lost against the base model: bars that part in the middle, with the interval of the win rate."""

from collections.abc import Sequence

from bokeh.models import FixedTicker, Segment

from analysis.comparison.arms import Arm, Wins
from analysis.comparison.base_models import base_model
from analysis.figures.bars import BAR, HEIGHT, MOST_BARS, Piece, add_bars, add_names, add_values, bar_plot
from analysis.figures.colours import Colours
from analysis.figures.page_figure import Columns, Key, PageFigure, add_glyph, rounded
from analysis.wording.numbers import show_percent
from basis.outcomes import NOT_COMPARED

NAME = "wins"
WON: Colours = ("#1577c8", "#63b0fc")
TIED: Colours = ("#8b949d", "#6f7a85")
LOST: Colours = ("#bd4d00", "#fe8449")
QUARTERS = [place / 4 for place in range(-4, 5)]


def draw_wins(arms: Sequence[Arm]) -> PageFigure | None:
    """Wins, ties and losses of each arm.

    Args:
        arms: all arms of the sweep.

    Returns:
        The figure, or None where no arm has rewards.
    """
    known = [(arm, wins) for arm in arms if arm.outcome not in NOT_COMPARED and (wins := arm.wins)]
    if not known:
        return None
    shown = sorted(known, key=lambda pair: -pair[1].rate.estimate)[:MOST_BARS]
    labels = [arm.label for arm, _ in shown]
    counts = [wins for _, wins in shown]
    base = base_model([arm for arm, _ in known])
    reach = max(max(_ends(wins)[2], -_ends(wins)[0], _at(wins, wins.rate.high)) for wins in counts)
    plot = bar_plot(NAME, len(shown), (-1.05 * reach, 1.3 * reach))
    plot.xaxis.axis_label = "share of prompts: lost to the left, won to the right"
    plot.xaxis.ticker = FixedTicker(ticks=QUARTERS)
    plot.xaxis.major_label_overrides = {place: f"{abs(place):.0%}" for place in QUARTERS}
    pieces: list[Piece] = []
    for row, (label, wins) in enumerate(zip(labels, counts, strict=True)):
        lost, tied, won = _ends(wins)
        for left, right, colours in ((lost, -tied, LOST), (-tied, tied, TIED), (tied, won, WON)):
            pieces.append(Piece(row, label, float(f"{left:.6g}"), float(f"{right:.6g}"), colours))
    add_bars(plot, pieces, _tips(shown))
    columns = _marks(labels, counts)
    interval = Segment(x0="low", x1="high", y0="y", y1="y", line_width=2, line_alpha="alpha")
    drawn = add_glyph(plot, interval, columns, f"{NAME}/intervals")
    even = Segment(x0="even", x1="even", y0="top", y1="bottom", line_width=2, line_alpha="alpha", line_dash=[3, 2])
    marks = add_glyph(plot, even, {}, f"{NAME}/even")
    marks.data_source, drawn.tags, marks.tags = drawn.data_source, [{"ink": True}], [{"ink": True}]
    add_names(plot, labels, labels, -1.05 * reach)
    ends = rounded(max(_ends(wins)[2], _at(wins, wins.rate.high)) for wins in counts)
    add_values(plot, labels, [f"{wins.wins} – {wins.losses}" for wins in counts], ends)
    first = f" The {len(shown)} of the highest win rate, of {len(known):,} arms." if len(shown) < len(known) else ""
    return PageFigure(
        name=NAME,
        kind="bars",
        title="Wins and losses",
        caption=f"Prompts whose answer got a higher or a lower reward than that of {base}. The solid line is the 95 % "
        "interval of the win rate (Wilson); the dashed tick is where an arm would win as often as it loses. The table "
        f"has the test.{_each_seed(shown)}{first}",
        description=f"Bars of prompts won and lost against {base}. "
        + "; ".join(f"{label}: {wins.wins} won, {wins.losses} lost" for label, wins in zip(labels, counts, strict=True))
        + ".",
        figure=plot,
        data={"reach": reach},
        keys=(Key("lost", LOST), Key("tied", TIED), Key("won", WON)),
    )


def _each_seed(shown: Sequence[tuple[Arm, Wins]]) -> str:
    return " A prompt counts once for each seed." if any(len(arm.used) > 1 for arm, _ in shown) else ""


def _asked(wins: Wins) -> int:
    return wins.wins + wins.ties + wins.losses


def _ends(wins: Wins) -> tuple[float, float, float]:
    """Left end of the bar, half its ties, and its right end: ties lie around the middle."""
    tied = wins.ties / 2 / _asked(wins)
    return -tied - wins.losses / _asked(wins), tied, tied + wins.wins / _asked(wins)


def _at(wins: Wins, rate: float) -> float:
    """Where a bar would end at that win rate."""
    return _ends(wins)[1] + rate


def _marks(labels: Sequence[str], counts: Sequence[Wins]) -> Columns:
    rows = range(len(labels))
    return {
        "arm": list(labels),
        "y": [row + BAR for row in rows],
        "low": rounded(_at(wins, wins.rate.low) for wins in counts),
        "high": rounded(_at(wins, wins.rate.high) for wins in counts),
        "even": rounded(_at(wins, (wins.wins + wins.losses) / 2 / _asked(wins)) for wins in counts),
        "top": [row + BAR - HEIGHT * 0.75 for row in rows],
        "bottom": [row + BAR + HEIGHT * 0.75 for row in rows],
        "alpha": [1] * len(labels),
    }


def _tips(shown: Sequence[tuple[Arm, Wins]]) -> list[list[str]]:
    return [
        [
            arm.label,
            f"{wins.wins} won, {wins.ties} tied, {wins.losses} lost",
            f"win rate {show_percent(wins.rate.estimate)} "
            f"[{show_percent(wins.rate.low)}, {show_percent(wins.rate.high)}]",
        ]
        for arm, wins in shown
    ]
