"""What follows from the factor of a table by itself, and is therefore no confound: it is told, as what it is."""

from typing import Any

from analysis.fairness.rows import EXECUTED, LedgerRow, LedgerRows
from basis.fields import ADDED_FIELDS, MOMENTUM_DEFAULTS
from basis.input_hashes import INPUT_HASHES

BY_MEMORY = (
    *("micro_batch", "batch_size", "block_size", "precision", "activation_checkpointing"),
    *("packing", "loss_on", "model"),
)
"""Fields that decide, with what memory permits, how a step is divided."""

HASHES_OF_MODEL = (*(name for name in INPUT_HASHES if name != "reward_model"), "base_responses")
"""Hashes that another base model changes: of itself, of the same data and prompts in its tokens and template, and of
what it answers."""
TOKEN_COUNTS = ("tokens_seen", "scored_tokens_seen")
"""Tokens of train rows, which another order of the data may change: a count for each seed."""

FOLLOWS = {
    **dict.fromkeys(TOKEN_COUNTS, ("steps", "batch_size", "block_size", "packing", "loss_on", "model")),
    **dict.fromkeys(HASHES_OF_MODEL, ("model",)),
    **dict.fromkeys(EXECUTED.values(), BY_MEMORY),
}
"""Facts by the config fields that they follow from."""

ORDER_FIELDS = ("batch_size", "block_size", "packing")
"""Fields that a step's train rows are drawn by, besides the seed and the train tokens; see `sweep.data.batches`."""
ORDER_FACT = "train_tokens"


def follows_from(factor: str | None, rows: LedgerRows) -> set[str]:
    """The fields and facts that differ between the rows of a table because its factor does.

    Args:
        factor: the field that the table compares, if any.
        rows: its rows.
    """
    names = {name for name, causes in FOLLOWS.items() if factor in causes}
    if factor == "model":
        names -= {name for name in (*HASHES_OF_MODEL, *TOKEN_COUNTS) if not _decided(name, rows)}
    if factor == "optimizer" and all(_has_momentum_of_its_own(row) for row in rows):
        names.add("momentum")
    return names


def _decided(name: str, rows: LedgerRows) -> bool:
    """Whether rows that agree in all that a fact follows from agree in the fact; replicates agree in a hash too."""
    told: dict[str, set[tuple[Any, ...]]] = {}
    for row in rows:
        if values := row.facts.get(name):
            told.setdefault(repr([row.config.get(cause) for cause in FOLLOWS[name]]), set()).add(values)
    one_each = name in TOKEN_COUNTS or all(len(values) == 1 for alike in told.values() for values in alike)
    return one_each and all(len(alike) == 1 for alike in told.values())


def _has_momentum_of_its_own(row: LedgerRow) -> bool:
    """Whether a row has no momentum, or the one that its optimizer has unless a spec says otherwise."""
    momentum, optimizer = row.config.get("momentum"), row.config.get("optimizer")
    return momentum is None or momentum == MOMENTUM_DEFAULTS.get(str(optimizer))


def order_of_data(rows: LedgerRows) -> tuple[bool, list[str]]:
    """Whether one seed is known to mean one order of the data in all rows, and the fields that make it another.

    Args:
        rows: the rows of a table.
    """
    fields = {name: [row.config.get(name, ADDED_FIELDS.get(name)) for row in rows] for name in ORDER_FIELDS}
    fields[ORDER_FACT] = [row.facts.get(ORDER_FACT) for row in rows]
    differing = [
        name for name, values in fields.items() if len({repr(value) for value in values if value is not None}) > 1
    ]
    known = all(value is not None for values in fields.values() for value in values)
    return known and not differing, differing
