"""How the fairness ledger names rows and their values."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

from analysis.wording.values import DIGITS, show_fact, texts_apart

NAMED_ROWS = 8
"""How many rows an entry names one by one before it only counts them."""
NAMED_VALUES = 24
"""How many values of a field an entry names before it only counts them."""


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
    for label, group in values.items():
        groups.setdefault(group, []).append(label)
    shown = texts_apart(
        lambda digits: [" and ".join(show_fact(value, digits) for value in group) for group in groups], DIGITS
    )
    told = [f"{text} ({named(labels)})" for text, labels in zip(shown, groups.values(), strict=True)]
    more = [f"{len(told) - NAMED_VALUES:,} more values"] if len(told) > NAMED_VALUES else []
    return ", ".join([*told[:NAMED_VALUES], *more])


def which(labels: Sequence[str], rows: Sized) -> str:
    """Some of the rows by their labels, or "every row"."""
    return named(labels) if len(labels) < len(rows) else "every row"
