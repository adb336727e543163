"""What a fairness ledger flags of how the values in a table were chosen: edges of ranges, unequal numbers of trials."""

from typing import Any

from analysis.fairness.rows import LedgerRow, LedgerRows
from analysis.fairness.words import by_value
from analysis.wording.values import DIGITS, facts_apart, show_fact
from basis.fields import COST_FIELDS
from basis.outcomes import Outcome


def edge_of_range(rows: LedgerRows) -> list[str]:
    """Best values that are the lowest or the highest of those tried, so that a better one may lie beyond."""
    edges = []
    for row in rows:
        for name, tried in row.tried.items():
            value = row.config.get(name)
            if not all(isinstance(number, (int, float)) for number in tried.values):
                continue  # optimizers have no order, and so no end
            if len(tried.values) > 1 and value in (tried.values[0], tried.values[-1]):
                end = "lowest" if value == tried.values[0] else "highest"
                between = " to ".join(facts_apart([tried.values[0], tried.values[-1]], DIGITS))
                edges.append(
                    f"{name} {show_fact(value)} of {row.label}, the {end} of {len(tried.values)} from {between}"
                )
    return [f"Best at an end of what was tried, so a better value may lie beyond: {'; '.join(edges)}."] if edges else []


def unequal_tuning(rows: LedgerRows, factor: str | None) -> list[str]:
    """Unequal numbers of tuning trials per row, or of learning rates tried for a setting of all other fields.

    Args:
        rows: the rows of a table.
        factor: the field that it compares: numbers of learning rates are told by its levels; without one by rows.
    """
    counts = {row.label: (max((tried.trials for tried in row.tuned.values()), default=0),) for row in rows}
    if any(count != (0,) for count in counts.values()):
        unequal = len(set(counts.values())) > 1
        return (
            [f"Unequal numbers of tuning trials, which favours the most tuned: {by_value(counts)}."] if unequal else []
        )
    rates: dict[str, set[float]] = {}
    members: dict[str, list[LedgerRow]] = {}
    for row in rows:
        if isinstance(row.config.get("lr"), (int, float)) and row.fact("outcome") not in (
            Outcome.NOT_STARTED,
            Outcome.REPEATED,
        ):
            setting = _setting(row)
            rates.setdefault(setting, set()).add(row.config["lr"])
            members.setdefault(setting, []).append(row)
    levels = _levels([row.config.get(factor) for row in rows], factor) if factor else {}
    tried: dict[str, set[int]] = {}
    for setting, rows_alike in members.items():
        for row in rows_alike:
            name = levels[repr(row.config.get(factor))] if factor else row.label
            tried.setdefault(name, set()).add(len(rates[setting]))
    numbers = {name: tuple(sorted(counts)) for name, counts in tried.items()}
    if factor == "lr" or len(set(numbers.values())) < 2:
        return []
    return [f"Unequal numbers of learning rates tried, which favours the most tuned: {by_value(numbers)}."]


def _setting(row: LedgerRow) -> str:
    """What rows share that differ in their learning rate, and in what it costs, alone."""
    return repr(sorted((name, value) for name, value in row.config.items() if name not in ("lr", *COST_FIELDS)))


def _levels(values: list[Any], factor: str) -> dict[str, str]:
    """What to call the levels of a factor, by their `repr`: levels that print alike are told apart all the same."""
    levels = {repr(value): value for value in values}
    named = [value for value in levels.values() if value is not None]
    shown = iter(facts_apart(named, DIGITS))
    return {key: f"no {factor}" if value is None else f"{factor} {next(shown)}" for key, value in levels.items()}
