"""How an arm is drawn, in every figure of a page: a hue by method and optimizer, darker with the rank, a dash."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.comparison.arms import Arm
from analysis.figures.colours import Colours, oklch
from basis.outcomes import NOT_COMPARED, Outcome

NAMED_ARMS = 12
"""Arms that a figure tells apart; the others are grey."""
GREY: Colours = ("#8b949d", "#6f7a85")
"""Of the other arms; with a contrast of 3 to 1 to the page."""
HUES: tuple[tuple[float, float], ...] = ((250, 0.15), (45, 0.19), (160, 0.12), (350, 0.15), (85, 0.14), (300, 0.16))
"""Hue in degrees and chroma: blue, vermilion, bluish green, reddish purple, yellow and violet, the hues that Okabe and
Ito, "Color Universal Design" (2008), tell apart with any colour vision."""
FULL = 1
"""Place in HUES that full fine-tuning has to itself, as far as hues go round."""
LIGHTNESS = {"light": (0.65, 0.36), "dark": (0.86, 0.58)}
"""OKLCH lightness of the lowest and the highest rank, on a light and on a dark page."""
ALONE = {"light": 0.56, "dark": 0.74}
"""That of an arm of a hue without ranks."""
DASHES = ("solid", "dashed", "dotted", "dotdash")


@dataclass(frozen=True)
class ArmStyle:
    """How an arm is drawn.

    Attributes:
        colours: on a light page and on a dark one.
        dash: a dash pattern as Bokeh names it.
        named: whether figures name it; otherwise it is one of many in grey.
    """

    colours: Colours
    dash: str
    named: bool


UNNAMED = ArmStyle(GREY, "solid", False)


def arm_styles(arms: list[Arm]) -> dict[str, ArmStyle]:
    """The style of each arm by label.

    Args:
        arms: all arms of a sweep.

    Returns:
        A style of its own for the NAMED_ARMS arms of the lowest loss, grey for the others. Arms that failed or never
        began are named last.
    """
    ranked = sorted(arms, key=_place)
    return styles_of({arm.label: arm.config for arm in ranked})


def styles_of(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, ArmStyle]:
    """Styles by label, for configs in the order in which they are named."""
    named = list(configs)[:NAMED_ARMS]
    families = sorted({_family(configs[label]) for label in named})  # a hue does not depend on who leads
    hues = _hues(families)
    ranks = {
        family: sorted({_rank(configs[label]) for label in named if _family(configs[label]) == family})
        for family in families
    }
    used: dict[Colours, int] = {}
    styles = {}
    for label in named:
        family, rank = _family(configs[label]), _rank(configs[label])
        colours = _colours(*HUES[hues[family]], ranks[family].index(rank), len(ranks[family]))
        used[colours] = used.get(colours, -1) + 1
        styles[label] = ArmStyle(colours, DASHES[used[colours] % len(DASHES)], True)
    return {label: styles.get(label, UNNAMED) for label in configs}


def _family(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What a hue stands for."""
    return tuple(str(config.get(name)) for name in ("model", "method", "optimizer"))


def _rank(config: Mapping[str, Any]) -> float:
    rank = config.get("rank")
    return float(rank) if isinstance(rank, (int, float)) else 0.0


def _hues(families: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """A place in HUES for each family; full fine-tuning begins at FULL, all others pass it over while they can."""
    hues: dict[tuple[str, ...], int] = {}
    others = [place for place in range(len(HUES)) if place != FULL]
    full = [FULL, *reversed(others)]
    numbers = {"full": 0, "other": 0}
    for family in families:
        kind, places = ("full", full) if family[1] == "full" else ("other", others)
        hues[family] = places[numbers[kind] % len(places)]
        numbers[kind] += 1
    return hues


def _colours(hue: float, chroma: float, place: int, ranks: int) -> Colours:
    def on(page: str) -> str:
        first, last = LIGHTNESS[page]
        lightness = ALONE[page] if ranks == 1 else first + (last - first) * place / (ranks - 1)
        return oklch(lightness, chroma, hue)

    return on("light"), on("dark")


def _place(arm: Arm) -> tuple[bool, float]:
    lost = arm.outcome in (*NOT_COMPARED, Outcome.NOT_STARTED, Outcome.DIVERGED)
    loss = arm.test_loss.estimate
    return lost, loss if math.isfinite(loss) else math.inf
