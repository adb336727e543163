"""Bytes and losses as people write them. Imports nothing, so that `analysis` can depend on it."""

import math

UNITS = (("GiB", 2**30, 2), ("MiB", 2**20, 1), ("KiB", 2**10, 1))

TOO_LARGE = 1e5
"""From here on decimals say nothing: losses of arms that went astray."""


def show_decimals(value: float, digits: int = 4, form: str = "") -> str:
    """A number with so many decimals, or with three digits in all where it is TOO_LARGE for decimals: "4.08e+07".

    Args:
        value: finite.
        digits: of its decimals; without any the number is whole, and printed so.
        form: what Python's format has before the precision, such as "," or "+".
    """
    return f"{value:{form}.2e}" if digits and abs(value) >= TOO_LARGE else f"{value:{form}.{digits}f}"


def show_bytes(value: float) -> str:
    """Bytes in the largest binary unit of which there is at least one."""
    for unit, size, digits in UNITS:
        if abs(value) >= size:
            return f"{value / size:,.{digits}f} {unit}"
    return f"{value:,.0f} B"


def as_setting(value: float) -> str:
    """Bytes rounded up to whole MiB, in a form that --set takes."""
    return f"{math.ceil(value / 2**20)}MiB"
