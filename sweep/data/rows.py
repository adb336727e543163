"""Whole examples as rows: which row holds which, in which order they come, and what is cut off.

A row has room for `block_size` + 1 tokens: that many inputs, and the target behind the last. A longer example is cut
off there. One without a token that counts in what is left is dropped.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from basis.errors import UserError
from sweep.data.token_files import TokenFiles

OPEN_ROWS = 64
"""Rows that wait for an example that fits. More fill rows no better, and bring short examples together."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fitting:
    """The examples of a side that go into rows.

    Attributes:
        starts: where each begins in the tokens, (examples,).
        lengths: how many tokens of each go into a row, (examples,).
        cut_examples, cut_tokens: how many were too long, and what was cut off of them.
        dropped: how many have nothing that counts in what is left.
    """

    starts: Ints
    lengths: Ints
    cut_examples: int
    cut_tokens: int
    dropped: int


def fit(files: TokenFiles, block_size: int, bit: int) -> Fitting:
    """What of each example goes into a row.

    Args:
        files: of pairs or conversations.
        block_size: inputs of a row.
        bit: of a token's role, says which tokens count, see `encode.ASSISTANT_BIT`; 0: all.
    """
    assert files.ends is not None
    assert files.roles is not None
    ends = np.asarray(files.ends, np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    whole = ends - starts
    lengths = np.minimum(whole, block_size + 1)
    counts = (np.asarray(files.roles) & bit) > 0 if bit else np.ones(len(files.roles), bool)
    counted = np.concatenate([[0], np.cumsum(counts)])
    scored = counted[starts + lengths] - counted[starts + 1]  # the first token of an example is no target
    kept = scored > 0
    return Fitting(
        starts[kept],
        lengths[kept],
        int((whole > lengths).sum()),
        int((whole - lengths).sum()),
        int((~kept).sum()),
    )


def fitting(name: str, files: TokenFiles, block_size: int, bit: int = 1) -> str | None:
    """What a side loses by its rows, in a line; None if nothing.

    Raises:
        UserError: it has no example of which an answer begins within a row.
    """
    fitted = fit(files, block_size, bit)
    examples = len(fitted.starts) + fitted.dropped
    if not len(fitted.starts):
        raise UserError(
            f"data.{name}: in none of {examples:,} examples an answer begins within block_size {block_size:,}; "
            "give a larger block_size or shorter prompts"
        )
    if not fitted.cut_examples and not fitted.dropped:
        return None
    share = fitted.cut_tokens / len(files.tokens)
    line = (
        f"{name}: {fitted.cut_examples:,} of {examples:,} examples are longer than block_size {block_size:,} + 1; "
        f"{fitted.cut_tokens:,} tokens ({100 * share:.1f} %) are cut off"
    )
    return line + (f"; {fitted.dropped:,} have no answer in what is left and are dropped" if fitted.dropped else "")


@dataclass(frozen=True)
class Rows:
    """An epoch: which examples are in which row.

    Attributes:
        examples: their numbers, row by row.
        ends: where each row ends in `examples`.
    """

    examples: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.ends)

    def row(self, index: int) -> Ints:
        """The examples of a row, in order."""
        return self.examples[self.ends[index - 1] if index else 0 : self.ends[index]]


def epoch_rows(lengths: Ints, block_size: int, seed: int, epoch: int, *, packed: bool) -> Rows:
    """All examples once, in an order that depends on the arguments alone.

    Packed, an example goes into the fullest open row that has room for it (best fit), in the order of a shuffle. Rows
    come in the order in which they are closed.

    Args:
        lengths: tokens of each example, (examples,), at most block_size + 1.
        block_size: inputs of a row.
        seed: the trial's.
        epoch: counted from 0.
        packed: whether a row holds as many examples as fit, or one.
    """
    draw = np.random.Generator(np.random.Philox(key=seed, counter=epoch << 128))
    order = draw.permutation(len(lengths)).astype(np.int64)
    if not packed:
        return Rows(order, np.arange(1, len(order) + 1))
    rows = list(_packed(order, lengths, block_size + 1))
    return Rows(np.concatenate(rows), np.cumsum([len(row) for row in rows]))


def _packed(order: Ints, lengths: Ints, room: int) -> Iterator[Ints]:
    waiting: list[tuple[int, int]] = []  # room left and number of each open row, by room
    rows: dict[int, list[int]] = {}
    for number, example in enumerate(order.tolist()):
        length = int(lengths[example])
        place = bisect_left(waiting, (length, -1))
        if place < len(waiting):
            left, row = waiting.pop(place)
        else:
            left, row = room, number
            rows[row] = []
        rows[row].append(example)
        insort(waiting, (left - length, row))
        if len(waiting) > OPEN_ROWS or not waiting[0][0]:
            yield np.array(rows.pop(waiting.pop(0)[1]))
    for _, row in waiting:
        yield np.array(rows[row])


class RowOrder:
    """Rows of one epoch after another, found by their number from the first on."""

    def __init__(self, lengths: Ints, block_size: int, seed: int, *, packed: bool) -> None:
        """Arguments are those of `epoch_rows`."""
        self._lengths, self._block_size, self._seed, self._packed = lengths, block_size, seed, packed
        self._firsts = [0]  # the number of each epoch's first row
        self._epoch = lru_cache(maxsize=2)(self._rows_of)

    def _rows_of(self, epoch: int) -> Rows:
        return epoch_rows(self._lengths, self._block_size, self._seed, epoch, packed=self._packed)

    def row(self, number: int) -> Ints:
        """The examples of a row."""
        while number >= self._firsts[-1]:
            self._firsts.append(self._firsts[-1] + len(self._epoch(len(self._firsts) - 1)))
        epoch = bisect_left(self._firsts, number + 1) - 1
        return self._epoch(epoch).row(number - self._firsts[epoch])
