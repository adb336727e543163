"""Rows of a table checked against each other, one thing after another: by the levels of the factor, whatever it is."""

from collections.abc import Hashable, Sequence
from typing import Any

from analysis.comparison.arms import inapplicable
from analysis.fairness.rows import LedgerRow, LedgerRows, distinct
from analysis.fairness.words import by_value, named
from analysis.wording.values import facts_apart
from basis.fields import applies

RowValues = tuple[Any, ...] | None
"""The values of a row in one thing: empty where it does not apply, None where it is not known."""


class RowChecks:
    """Checks of one table, in the order made: what differs between levels, what is the same, what is not known."""

    def __init__(self, rows: LedgerRows, factor: str | None) -> None:
        self.rows = rows
        self.factor = factor
        self.differences: list[str] = []
        self.confounded: list[str] = []
        """What differs between levels by name, without what matters for speed and memory alone."""
        self.same: list[str] = []
        self.crossed: dict[str, str] = {}
        """Entries, by their names, of what differs between rows and not between the levels of the factor."""
        self._unknown: dict[tuple[str, ...], list[str]] = {}
        self._values: dict[str, list[RowValues]] = {}
        self._differing: set[str] = set()

    def values(self, name: str) -> list[RowValues]:
        """What `config_values` says of each row."""
        if name not in self._values:
            self._values[name] = [config_values(row, name) for row in self.rows]
        return self._values[name]

    def make(self, name: str, values: Sequence[RowValues], reach: str = "") -> None:
        """Check one thing by level, given its values row by row."""
        checked = list(zip(self.rows, values, strict=True))
        if missing := tuple(row.label for row, value in checked if value is None):
            self._unknown.setdefault(missing, []).append(name)
        applicable = [(row, value) for row, value in checked if value]
        different = {value for _, value in applicable}
        levels: dict[Hashable, set[Any]] = {}
        for row, value in applicable if len(different) > 1 else ():
            levels.setdefault(self._level(row), set()).update(value)
        if len({frozenset(one) for one in levels.values()}) > 1:
            self.differences.append(f"{name}: {by_value({row.label: value for row, value in applicable})}{reach}")
            self._differing.add(name)
            self.confounded += [] if reach else [name]
            return
        if len(different) > 1:
            self.crossed[name] = f"{name}: {by_value({row.label: value for row, value in applicable})}{reach}"
        if applicable and not missing:
            every = facts_apart(list(dict.fromkeys(one for _, value in applicable for one in value)))
            several = f" at every level of {self.factor}" if len(every) > 1 else ""
            self.same.append(f"{name}: {', '.join(every)}{several}")

    @property
    def levels(self) -> int:
        """How many levels of the factor the rows have."""
        return len({self._level(row) for row in self.rows})

    @property
    def tuned(self) -> list[str]:
        """Fields that differ since each row has its own best, and that are not called differences for that."""
        names = dict.fromkeys(name for row in self.rows for name in row.tuned)
        values = {name: set(self.values(name)) for name in names}
        return [name for name in names if name not in self._differing and len(values[name]) > 1]

    def combinations(self, names: Sequence[str]) -> None:
        """Check that fields which take the same values at every level also take the same combinations of them."""
        values = {name: self.values(name) for name in names}
        crossed = [
            name
            for name, of_rows in values.items()
            if all(of_rows) and len(set(of_rows)) > 1 and name not in self._differing
        ]
        levels: dict[Hashable, set[Any]] = {}
        for position, row in enumerate(self.rows):
            levels.setdefault(self._level(row), set()).add(tuple(values[name][position] for name in crossed))
        if len(crossed) > 1 and self.factor and len({frozenset(level) for level in levels.values()}) > 1:
            joined = f"{', '.join(crossed[:-1])} and {crossed[-1]}"
            self.confounded.append(joined)
            self.differences.append(
                f"combinations of {joined}: each takes the same values at every level of {self.factor}, but not in the "
                "same combinations"
            )

    def not_recorded(self) -> list[str]:
        """The checks that could not be made, by the rows that lack the value."""
        everyone = tuple(row.label for row in self.rows)
        return [
            f"not recorded{'' if labels == everyone else f' for {named(labels)}'}: {', '.join(names)}"
            for labels, names in self._unknown.items()
        ]

    def _level(self, row: LedgerRow) -> Hashable:
        """Where a factor does not apply, as no rank to full fine-tuning, is a level of its own; without a factor every
        row is."""
        return _hashable(row.config.get(self.factor)) if self.factor else row.label


def config_values(row: LedgerRow, name: str) -> RowValues:
    """The value of a row in a config field, or the range that it was drawn from."""
    if not applies(name, row.config) or (name in row.config and inapplicable(row.config, name)):
        return ()
    if name in row.ranges:
        return (row.ranges[name],)
    return (_hashable(row.config[name]),) if name in row.config else None


def _hashable(value: Any) -> Any:
    return distinct([value])[0]
