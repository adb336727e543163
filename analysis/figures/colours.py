"""Colours of even lightness: OKLCH to hexadecimal, clipped to what a screen has.

Source of the matrices: Björn Ottosson, "A perceptual color space for image processing" (2020).
"""

import math

Colours = tuple[str, str]
"""A colour on a light page and on a dark one, as "#rrggbb"."""


def oklch(lightness: float, chroma: float, hue: float) -> str:
    """A colour as "#rrggbb".

    Args:
        lightness: 0 (black) to 1 (white).
        chroma: 0 (grey) to about 0.3; less is taken where a screen can't show as much.
        hue: degrees.

    Returns:
        The colour.
    """
    while True:
        channels = _linear_rgb(lightness, chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue)))
        if chroma <= 0 or all(-1e-4 <= channel <= 1.0001 for channel in channels):
            return "#" + "".join(f"{round(255 * _gamma(min(1.0, max(0.0, channel)))):02x}" for channel in channels)
        chroma = max(0.0, chroma - 0.005)


def _linear_rgb(lightness: float, a: float, b: float) -> tuple[float, float, float]:
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )


def _gamma(channel: float) -> float:
    return 12.92 * channel if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055
