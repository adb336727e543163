"""What follows from the factor of a table by itself, and is therefore no confound: it is told, as what it is."""

from analysis.fairness.rows import EXECUTED, LedgerRow, LedgerRows
from basis.fields import MOMENTUM_DEFAULTS

BY_MEMORY = ("micro_batch", "batch_size", "block_size", "precision", "activation_checkpointing")
"""Fields that decide, with what memory permits, how a step is divided."""

FOLLOWS = {
    "tokens_seen": ("steps", "batch_size", "block_size"),
    "scored_tokens_seen": ("steps", "batch_size", "block_size"),
    **dict.fromkeys(EXECUTED.values(), BY_MEMORY),
}
"""Facts by the config fields that they follow from."""

ORDER_FIELDS = ("batch_size", "block_size")
"""Fields that a step's train windows are drawn by, besides the seed and the train tokens; see `sweep.data.windows`."""
ORDER_FACT = "train_tokens"


def follows_from(factor: str | None, rows: LedgerRows) -> set[str]:
    """The fields and facts that differ between the rows of a table because its factor does.

    Args:
        factor: the field that the table compares, if any.
        rows: its rows.
    """
    names = {name for name, causes in FOLLOWS.items() if factor in causes}
    if factor == "optimizer" and all(_has_momentum_of_its_own(row) for row in rows):
        names.add("momentum")
    return names


def _has_momentum_of_its_own(row: LedgerRow) -> bool:
    """Whether a row has no momentum, or the one that its optimizer has unless a spec says otherwise."""
    momentum, optimizer = row.config.get("momentum"), row.config.get("optimizer")
    return momentum is None or momentum == MOMENTUM_DEFAULTS.get(str(optimizer))


def order_of_data(rows: LedgerRows) -> tuple[bool, list[str]]:
    """Whether one seed is known to mean one order of the data in all rows, and the fields that make it another.

    Args:
        rows: the rows of a table.
    """
    fields = {name: [row.config.get(name) for row in rows] for name in ORDER_FIELDS}
    fields[ORDER_FACT] = [row.facts.get(ORDER_FACT) for row in rows]
    differing = [
        name for name, values in fields.items() if len({repr(value) for value in values if value is not None}) > 1
    ]
    known = all(value is not None for values in fields.values() for value in values)
    return known and not differing, differing
