"""How the fairness ledger names rows and their values."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from analysis.results.load import show_field

NAMED_ROWS = 8
"""How many rows an entry names one by one before it only counts them."""
NAMED_VALUES = 24
"""How many values of a field an entry names before it only counts them."""
DIGEST = re.compile(r"[0-9a-f]{32,}")
DIGITS = (3, 6, 17)
"""Significant digits that values are printed with, tried in turn; the last tell any two numbers apart."""
DIGEST_SHOWN = 12
"""Digits of a digest that are printed, more than enough to tell two apart."""


def named(labels: Iterable[str]) -> str:
    """Rows by their labels, merely counted where they are many."""
    every = list(labels)
    more = [f"{len(every) - NAMED_ROWS} more"] if len(every) > NAMED_ROWS + 1 else []
    return ", ".join([*every[:NAMED_ROWS], *more] if more else every)


def by_value(values: Mapping[str, tuple[Any, ...]]) -> str:
    """Rows grouped by their values, such as "0.1 (lora r1 sgd, lora r1 nesterov), 1e-06 (lora r1 adamw)".

    Args:
        values: the values of each row by its label; several where its replicates differ.
    """
    groups: dict[tuple[Any, ...], list[str]] = {}
    for label, found in values.items():
        groups.setdefault(found, []).append(label)
    shown = _apart(lambda digits: [" and ".join(show(one, digits) for one in group) for group in groups], DIGITS)
    told = [f"{text} ({named(labels)})" for text, labels in zip(shown, groups.values(), strict=True)]
    more = [f"{len(told) - NAMED_VALUES:,} more values"] if len(told) > NAMED_VALUES else []
    return ", ".join([*told[:NAMED_VALUES], *more])


def shown_apart(values: Sequence[Any], digits: Sequence[int] = DIGITS[1:]) -> list[str]:
    """Different values as text, with no more of these numbers of digits than it takes to tell them apart."""
    return _apart(lambda number: [show(value, number) for value in values], digits)


def _apart(shown: Callable[[int], list[str]], digits: Sequence[int]) -> list[str]:
    """The texts at the first of these numbers of digits that leaves no two alike."""
    *fewer, most = digits
    return next((texts for number in fewer if len(set(texts := shown(number))) == len(texts)), shown(most))


def show(value: Any, digits: int = 3) -> str:
    """A value as text: whole numbers with thousands separators, digests shortened."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    text = show_field(value, digits)
    return text[:DIGEST_SHOWN] if DIGEST.fullmatch(text) else text
