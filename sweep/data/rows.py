"""Which examples stand in which row of a batch, as a function of the seed and the step alone."""

from bisect import bisect_left, insort
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from basis.fields import Packing, PackingChoice
from sweep.data.encode import ASSISTANT
from sweep.data.token_files import ExampleTokens

BUFFER_EXAMPLES = 4096
"""Examples that are packed at a time, the longest first: enough to leave little of a row empty."""

Numbers = npt.NDArray[np.int64]


class CutExamples(NamedTuple):
    """The examples of a set as rows can hold them, (examples,) each, and what they lose by it.

    Attributes:
        starts: where each begins in the set's tokens.
        lengths: how many of its tokens a row gets, from the first.
        truncated_examples: of them, how many are longer than a row.
        truncated_tokens: the tokens of these that no row gets.
        dropped_examples: examples beside them that are left out, since none of their targets in a row would count.
        dropped_tokens: the tokens of these.
    """

    starts: Numbers
    lengths: Numbers
    truncated_examples: int
    truncated_tokens: int
    dropped_examples: int
    dropped_tokens: int


def cut_examples(examples: ExampleTokens, block_size: int) -> CutExamples:
    """Cut examples to rows of block_size inputs, and leave those out of which no target would count.

    Which targets count is what the data's kind says, not `loss_on`: all arms of a sweep see the same rows.
    """
    ends = np.asarray(examples.ends)
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    full = ends - starts
    lengths = np.minimum(full, block_size + 1)
    kept = lengths >= 2
    if examples.roles is not None:
        counts = np.concatenate(((examples.roles & ASSISTANT) > 0, [False]))
        bounds = np.stack((starts + 1, starts + lengths), axis=1).ravel()  # a first token is nobody's target
        kept &= np.add.reduceat(counts, np.minimum(bounds, len(counts) - 1), dtype=np.int64)[::2] > 0
    lost = full - lengths
    return CutExamples(
        starts[kept],
        lengths[kept],
        int((lost[kept] > 0).sum()),
        int(lost[kept].sum()),
        int((~kept).sum()),
        int(full[~kept].sum()),
    )


def settled_packing(packing: PackingChoice, *, is_text: bool) -> Packing:
    """What a trial's `packing` stands for on texts, or on other examples."""
    if packing == "auto":
        return "stream" if is_text else "examples"
    return packing


class TrainRows:
    """The rows of a training: epoch after epoch, each with every example once, in an order of its own."""

    def __init__(self, cut: CutExamples, seed: int, block_size: int, packing: Packing) -> None:
        """Take at least one example; a row has room for block_size + 1 tokens. A stream has windows instead."""
        self._lengths = cut.lengths
        self._seed = seed
        self._room = block_size + 1
        self._packing = packing
        self._ends = [0]  # of the epochs: rows up to there
        self._latest: tuple[int, list[list[int]]] = (-1, [])

    def step(self, step: int, batch_size: int) -> list[list[int]]:
        """The examples of each row of an optimizer step: numbers in `cut`, in the order in which they stand."""
        return [self._row(row) for row in range(step * batch_size, (step + 1) * batch_size)]

    def _row(self, row: int) -> list[int]:
        while self._ends[-1] <= row:  # how many rows an epoch packs into, packing it tells
            self._ends.append(self._ends[-1] + len(self._epoch(len(self._ends) - 1)))
        epoch = int(np.searchsorted(self._ends, row, side="right")) - 1
        return self._epoch(epoch)[row - self._ends[epoch]]

    def _epoch(self, epoch: int) -> list[list[int]]:
        if self._latest[0] != epoch:
            # Philox makes its numbers from (key, counter); the low 128 bits count the draws within an epoch.
            draw = np.random.Generator(np.random.Philox(key=self._seed, counter=epoch << 128))
            order = draw.permutation(len(self._lengths))
            if self._packing == "none":
                rows = [[example] for example in order.tolist()]
            else:
                packed = best_fit(self._lengths, order, self._room)
                rows = [packed[row] for row in draw.permutation(len(packed)).tolist()]  # full ones come first
            self._latest = epoch, rows
        return self._latest[1]


def best_fit(lengths: Numbers, order: Numbers, room: int) -> list[list[int]]:
    """Pack examples into rows: by buffers, the longest first, each into the row where it leaves the least room.

    Best-fit decreasing (Johnson 1974) over a shuffled buffer.

    Args:
        lengths: tokens of each example, at most `room`.
        order: the examples, in the order in which they fill buffers.
        room: tokens of a row.

    Returns:
        The examples of each row.
    """
    rows: list[list[int]] = []
    unfilled: list[tuple[int, int]] = []  # room left and number of a row, the least room first
    shortest = int(lengths.min())
    for begin in range(0, len(order), BUFFER_EXAMPLES):
        buffer = order[begin : begin + BUFFER_EXAMPLES]
        for example in buffer[np.argsort(-lengths[buffer], kind="stable")].tolist():
            length = int(lengths[example])
            place = bisect_left(unfilled, (length, 0))
            if place < len(unfilled):
                left, row = unfilled.pop(place)
            else:
                left, row = room, len(rows)
                rows.append([])
            rows[row].append(example)
            if left - length >= shortest:
                insort(unfilled, (left - length, row))
    return rows


def spread(count: int, wanted: int) -> Numbers:
    """The numbers of at most `wanted` of `count` things, spread evenly, the same for every trial."""
    chosen = min(wanted, count)
    return np.arange(chosen, dtype=np.int64) * (count - 1) // max(chosen - 1, 1)
