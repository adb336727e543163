"""Colours of arms: told apart on white and on dark, darker with the rank, and few."""

from itertools import combinations

import pytest

from analysis.figures.arm_styles import GREY, HUES, NAMED_ARMS, styles_of
from analysis.figures.arm_styles import _colours as ramp
from analysis.figures.memory import COLOURS
from analysis.figures.wins import LOST, TIED, WON

PAGES = ("#ffffff", "#14181d")


def linear(colour: str) -> list[float]:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True))


def contrast(colour: str, page: str) -> float:
    low, high = sorted((luminance(colour), luminance(page)))
    return (high + 0.05) / (low + 0.05)


RAMPS = [ramp(*hue, place, ranks) for hue in HUES for ranks in (1, 2, 4) for place in range(ranks)]


@pytest.mark.parametrize("colours", [*RAMPS, GREY, *COLOURS.values(), WON, TIED, LOST])
def test_a_graphic_has_a_contrast_of_three_to_one(colours: tuple[str, str]) -> None:
    for colour, page in zip(colours, PAGES, strict=True):
        assert contrast(colour, page) >= 3


def test_the_first_hues_differ_without_red_or_green() -> None:
    def as_seen(colour: str, rows: tuple[tuple[float, ...], ...]) -> list[float]:
        return [sum(w * c for w, c in zip(row, linear(colour), strict=True)) for row in rows]

    deuteranopia = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
    protanopia = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
    # Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009)
    for rows in (deuteranopia, protanopia):
        for one, other in combinations(HUES[:4], 2):
            seen = [as_seen(ramp(*hue, 0, 1)[0], rows) for hue in (one, other)]
            assert max(abs(a - b) for a, b in zip(*seen, strict=True)) > 0.05


def test_a_rank_is_the_darker_the_higher_and_full_has_its_own_hue() -> None:
    configs = {f"lora r{rank} adamw": {"method": "lora", "optimizer": "adamw", "rank": rank} for rank in (100, 1, 10)}
    styles = styles_of({"full adamw": {"method": "full", "optimizer": "adamw"}, **configs})
    for page in (0, 1):
        shades = [luminance(styles[f"lora r{rank} adamw"].colours[page]) for rank in (1, 10, 100)]
        assert shades == sorted(shades, reverse=True)
    assert len({style.colours for style in styles.values()}) == 4
    assert {style.dash for style in styles.values()} == {"solid"}


def test_arms_of_one_colour_differ_by_their_dash() -> None:
    config = {"method": "lora", "optimizer": "adamw", "rank": 1}
    styles = styles_of({f"lr {lr}": {**config, "lr": lr} for lr in (1, 2, 3)})
    assert len({style.dash for style in styles.values()}) == 3


def test_beyond_twelve_an_arm_is_grey() -> None:
    styles = styles_of({str(rank): {"method": "lora", "optimizer": "adamw", "rank": rank} for rank in range(40)})
    assert [style.named for style in styles.values()] == [True] * NAMED_ARMS + [False] * (40 - NAMED_ARMS)
    assert styles["39"].colours == GREY
