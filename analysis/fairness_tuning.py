"""What a fairness ledger flags of how the values in a table were chosen: edges of ranges, unequal numbers of trials."""

from collections.abc import Hashable, Sequence

from analysis.ledger_rows import LedgerRow
from analysis.ledger_words import by_value, show
from analysis.outcomes import NOT_STARTED, REPEATED


def edge_of_range(rows: Sequence[LedgerRow]) -> list[str]:
    """Best values that are the lowest or the highest of those tried, so that a better one may lie beyond."""
    edges = []
    for row in rows:
        for name, tried in row.tried.items():
            value = row.config.get(name)
            if len(tried.values) > 1 and value in (tried.values[0], tried.values[-1]):
                end = "lowest" if value == tried.values[0] else "highest"
                between = f"{show(tried.values[0])} to {show(tried.values[-1])}"
                edges.append(f"{name} {show(value)} of {row.label}, the {end} of {len(tried.values)} from {between}")
    return [f"Best at an end of what was tried, so a better value may lie beyond: {'; '.join(edges)}."] if edges else []


def unequal_tuning(rows: Sequence[LedgerRow], factor: str | None) -> list[str]:
    """Unequal numbers of tuning trials per row, or of learning rates tried per level of the factor.

    Args:
        rows: the rows of a table.
        factor: the field that it compares; without one only tuning trials are counted.
    """
    counts = {row.label: (max((tried.trials for tried in row.tuned.values()), default=0),) for row in rows}
    if any(count != (0,) for count in counts.values()):
        unequal = len(set(counts.values())) > 1
        return (
            [f"Unequal numbers of tuning trials, which favours the most tuned: {by_value(counts)}."] if unequal else []
        )
    levels: dict[Hashable, set[float]] = {}
    for row in rows:
        if isinstance(row.config.get("lr"), (int, float)) and row.fact("outcome") not in (NOT_STARTED, REPEATED):
            levels.setdefault(row.config.get(factor or ""), set()).add(row.config["lr"])
    tried = {_level(level, factor): (len(rates),) for level, rates in levels.items()}
    if not factor or factor == "lr" or len(set(tried.values())) < 2:
        return []
    return [f"Unequal numbers of learning rates tried, which favours the most tuned: {by_value(tried)}."]


def _level(level: Hashable, factor: str | None) -> str:
    return f"no {factor}" if level is None else f"{factor} {show(level)}"
