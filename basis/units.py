"""Bytes as people write them. Imports nothing, so that `analysis` can depend on it."""

import math

UNITS = (("GiB", 2**30, 2), ("MiB", 2**20, 1), ("KiB", 2**10, 1))


def show_bytes(value: float) -> str:
    """Bytes in the largest binary unit of which there is at least one."""
    for unit, size, digits in UNITS:
        if abs(value) >= size:
            return f"{value / size:,.{digits}f} {unit}"
    return f"{value:,.0f} B"


def as_setting(value: float) -> str:
    """Bytes rounded up to whole MiB, in a form that --set takes."""
    return f"{math.ceil(value / 2**20)}MiB"
