"""How a report prints a number: one function for each kind, and the dash where there is none."""

import math

from analysis.statistics.intervals import Interval
from basis import units

MISSING = "–"
"""What stands in a cell without a number."""
GIB, MIB = 2**30, 2**20
"""Bytes of a gibibyte and of a mebibyte."""
PRINTED_AS_ZERO = 1e-9
"""What additions in another order may leave of a loss or a reward: printed as zero."""


def show_number(value: float, digits: int = 4) -> str:
    """A number with thousands separators, or a dash where there is none."""
    return units.show_decimals(value, digits, ",") if math.isfinite(value) else MISSING


def show_interval(interval: Interval, digits: int, signed: bool = False) -> str:
    """An estimate with its limits, such as "0.71 [0.62, 0.79]", or alone where the data carry no interval.

    Where `digits` decimals would leave no two significant digits of the largest of the numbers, it gets more, unless
    they are all below PRINTED_AS_ZERO.
    """
    if not math.isfinite(interval.estimate):
        return MISSING
    shown = _shown(interval, digits, signed)
    return f"{shown[0]} [{shown[1]}, {shown[2]}]" if interval.known else shown[0]


def show_limits(interval: Interval, digits: int, signed: bool = False) -> str:
    """The limits alone, as `show_interval` prints them; empty where the data carry no interval."""
    if not interval.known:
        return ""
    shown = _shown(interval, digits, signed)
    return f"[{shown[1]}, {shown[2]}]"


def _shown(interval: Interval, digits: int, signed: bool) -> list[str]:
    """The estimate and its limits with decimals alike; z: no minus before a zero."""
    largest = max(abs(value) for value in interval if math.isfinite(value))
    if PRINTED_AS_ZERO < largest < 10 ** (1 - digits):
        digits = 1 - math.floor(math.log10(largest))
    return [units.show_decimals(value, digits, "+z" if signed else "z") for value in interval]


def show_bytes(value: float) -> str:
    """Bytes in the largest binary unit of which there is at least one."""
    return units.show_bytes(value) if math.isfinite(value) else MISSING


def show_parameters(value: float) -> str:
    """A number of parameters, in millions from a million on."""
    return f"{value / 1e6:,.2f} M" if value >= 1e6 else show_number(value, 0)


def show_amount(value: float) -> str:
    """A positive number with three significant digits and thousands separators, or a dash where there is none."""
    digits = 2 - math.floor(math.log10(value)) if math.isfinite(value) and value > 0 else 2
    return show_number(value, max(0, digits))


def show_p_value(p_value: float) -> str:
    """A p-value alone, for the cell of a table, such as "0.012"; a dash where there is none."""
    return MISSING if math.isnan(p_value) else "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def show_p(p_value: float) -> str:
    """A p-value within a sentence, such as "p = 0.012"."""
    return f"p {'< 0.001' if p_value < 0.001 else f'= {p_value:.3f}'}"


def show_percent(share: float) -> str:
    """A share in whole percent."""
    return f"{100 * share:.0f} %" if share >= 0.01 else "below 1 %"
