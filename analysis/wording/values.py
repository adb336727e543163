"""How a report prints a value of a config, with no more digits than tell different values apart."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

DIGITS = (3, 6, 17)
"""Significant digits that values are printed with, tried in turn; the last tell any two numbers apart."""
DIGEST = re.compile(r"[0-9a-f]{32,}")
DIGEST_SHOWN = 12
"""Digits of a digest that are printed, more than enough to tell two apart."""


def show_field(value: object, digits: int = 3) -> str:
    """A config value as text: lists joined by "+", options as "rho=0.1, k=2", floats with so many digits."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={show_field(item, digits)}" for name, item in value.items()) or "defaults"
    if isinstance(value, (list, tuple)):
        return "+".join(show_field(item, digits) for item in value) or "none"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return "none" if value is None else str(value)


def show_fact(value: Any, digits: int = 3) -> str:
    """A value of the fairness ledger as text: whole numbers with thousands separators, digests shortened."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    text = show_field(value, digits)
    return text[:DIGEST_SHOWN] if DIGEST.fullmatch(text) else text


def facts_apart(values: Sequence[Any], digits: Sequence[int] = DIGITS[1:]) -> list[str]:
    """Different values of the ledger as text, with no more of these numbers of digits than tell them apart."""
    return texts_apart(lambda number: [show_fact(value, number) for value in values], digits)


def texts_apart(texts_with: Callable[[int], list[str]], digits: Sequence[int] = DIGITS) -> list[str]:
    """Texts with the fewest digits that leave no two of them alike.

    Args:
        texts_with: makes the texts, given a number of significant digits.
        digits: the numbers of digits to try, fewest first.

    Returns:
        The texts at the first of these numbers that tells them all apart; at the last one where none does.
    """
    texts: list[str] = []
    for number in digits:
        texts = texts_with(number)
        if len(set(texts)) == len(texts):
            break
    return texts
