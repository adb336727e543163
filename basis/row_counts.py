"""What rows leave of a set's examples: a sweep counts it, its record keeps it, and a report tells it."""

from typing import NamedTuple


class RowCounts(NamedTuple):
    """One entry under "rows" of the data in sweep.json.

    Attributes:
        model: the base model whose tokens were counted, by its label; None where there is but one.
        side: the set, such as "train".
        block_size: inputs of a row.
        examples: of the set, also those that no row holds.
        truncated_examples: examples that were cut.
        truncated_tokens: tokens that were cut off them.
        dropped_examples: examples that no row holds, since nothing of them would count.
        dropped_tokens: their tokens.
    """

    model: str | None
    side: str
    block_size: int
    examples: int
    truncated_examples: int
    truncated_tokens: int
    dropped_examples: int
    dropped_tokens: int
