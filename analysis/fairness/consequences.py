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

OF_MODEL = tuple(name for name in INPUT_HASHES if name != "reward_model")
"""Hashes that another base model changes: of itself, and of the same data and prompts in its tokens and template."""

FOLLOWS = {
    "tokens_seen": ("steps", "batch_size", "block_size", "packing", "loss_on", "model"),
    "scored_tokens_seen": ("steps", "batch_size", "block_size", "packing", "loss_on", "model"),
    **dict.fromkeys((*OF_MODEL, "base_responses"), ("model",)),
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
    names -= {name for name in OF_MODEL if not _one_for_each_level(name, factor, rows)}
    if factor == "optimizer" and all(_has_momentum_of_its_own(row) for row in rows):
        names.add("momentum")
    return names


def _one_for_each_level(name: str, factor: str | None, rows: LedgerRows) -> bool:
    """Whether rows of one level of the factor do not differ in a fact, so that the level alone decides it."""
    levels: dict[str, set[Any]] = {}
    for row in rows:
        levels.setdefault(repr(row.config.get(str(factor))), set()).update(row.facts.get(name, ()))
    return all(len(values) < 2 for values in levels.values())


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
