"""What a trial trains on at each step, and the rows that it is tested on: `Batch`es out of files of tokens."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from basis.fields import LossOn, PackingChoice
from model.batch import Batch
from sweep.data.encode import ASSISTANT_BIT, COMPLETION_BIT
from sweep.data.rows import Ints, RowOrder, fit
from sweep.data.token_files import TokenFiles
from sweep.data.windows import test_window_starts, train_window_starts, windows

WIDTH_MULTIPLE = 32
"""Rows of one example each are as wide as the longest of a step, rounded up to this, so that few widths occur."""

BITS: dict[LossOn, int] = {"all": 0, "assistant": ASSISTANT_BIT, "auto": ASSISTANT_BIT, "completions": COMPLETION_BIT}
"""By what the loss is on: which bit of a token's role says that it counts; 0: all count. In a pair the bits agree."""


class TrainBatches:
    """The batches of a trial's steps; each depends on the arguments and its step alone.

    Args:
        path: the train side's tokens, see `TokenFiles.open`.
        seed: the trial's.
        batch_size: rows of a step.
        block_size: inputs of a row.
        packing: how tokens become rows; auto: windows of a stream of texts, rows packed with whole examples of others.
        loss_on: which tokens count; auto: all of texts, what an assistant says of others.
    """

    def __init__(
        self, path: Path, *, seed: int, batch_size: int, block_size: int, packing: PackingChoice, loss_on: LossOn
    ) -> None:
        self._files = TokenFiles.open(path)
        self._seed, self._batch_size, self._block_size = seed, batch_size, block_size
        texts = self._files.roles is None
        self._bit = 0 if texts else BITS[loss_on]
        self._order: RowOrder | None = None
        self._packed = packing in ("auto", "examples")
        if not texts and packing != "stream":
            self._fit = fit(self._files, block_size, self._bit)
            self._order = RowOrder(self._fit.lengths, block_size, seed, packed=self._packed)

    def at(self, step: int) -> Batch:
        """The batch of optimizer step `step`, counted from 0."""
        if self._order is None:
            return self._windows(step)
        first = step * self._batch_size
        rows = [self._order.row(number) for number in range(first, first + self._batch_size)]
        return _rows_of(self._files, self._fit.starts, self._fit.lengths, rows, self._block_size, self._bit)

    def _windows(self, step: int) -> Batch:
        tokens, block = self._files.tokens, self._block_size
        starts = train_window_starts(self._seed, step, self._batch_size, len(tokens), block)
        cut = torch.from_numpy(windows(tokens, starts, block))
        if self._files.roles is None or not self._bit:
            return Batch(cut)
        counts = windows(self._files.roles, starts, block)[:, 1:] & self._bit
        return Batch(cut, torch.from_numpy(np.flatnonzero(counts)))


@dataclass(frozen=True)
class HeldOut:
    """Rows that every arm is tested on, whatever it trains on.

    Attributes:
        batch: the rows.
        text_bytes: bytes, in UTF-8, of the text that their targets that count stand for.
    """

    batch: Batch
    text_bytes: int


def held_out(path: Path, *, block_size: int, rows: int) -> HeldOut:
    """The held-out rows: windows of texts; of pairs and conversations an example each, of which answers count.

    Args:
        path: the side's tokens.
        block_size: inputs of a row.
        rows: how many are wanted; of examples they are spread evenly over those that fit.
    """
    files = TokenFiles.open(path)
    assert files.sizes is not None, "held-out sides have sizes"
    if files.roles is None:
        starts = test_window_starts(len(files.tokens), block_size, rows)
        cut, sizes = (windows(part, starts, block_size) for part in (files.tokens, files.sizes))
        return HeldOut(Batch(torch.from_numpy(cut)), int(sizes[:, 1:].sum()))
    fitted = fit(files, block_size, ASSISTANT_BIT)
    count = min(rows, len(fitted.starts))
    chosen = np.arange(count) * (len(fitted.starts) - 1) // max(count - 1, 1)
    alone = [np.array([example]) for example in chosen]
    batch = _rows_of(files, fitted.starts, fitted.lengths, alone, block_size, ASSISTANT_BIT)
    spans = [slice(fitted.starts[index] + 1, fitted.starts[index] + fitted.lengths[index]) for index in chosen]
    counted = sum(int(files.sizes[span][(files.roles[span] & ASSISTANT_BIT) > 0].sum()) for span in spans)
    return HeldOut(batch, counted)


def _rows_of(files: TokenFiles, starts: Ints, lengths: Ints, rows: Iterable[Ints], block_size: int, bit: int) -> Batch:
    """Rows of whole examples. Where a row holds several, each is a document; what is left of a row is one more."""
    rows = list(rows)
    packed = any(len(row) > 1 for row in rows)
    width = block_size
    if not packed:
        longest = max(int(lengths[row].sum()) for row in rows) - 1
        width = min(block_size, -(-longest // WIDTH_MULTIPLE) * WIDTH_MULTIPLE)
    tokens = np.zeros((len(rows), width + 1), np.int64)
    counts = np.zeros((len(rows), width + 1), bool)
    documents = np.full((len(rows), width + 1), -1, np.int32)
    for index, row in enumerate(rows):
        place = 0
        for number, example in enumerate(row):
            start, length = int(starts[example]), int(lengths[example])
            to, of = slice(place, place + length), slice(start, start + length)
            tokens[index, to] = files.tokens[of]
            counts[index, to] = (files.roles[of] & bit) > 0 if bit and files.roles is not None else True
            counts[index, place] = False  # nothing stands before an example's first token
            documents[index, to] = number
            place += length
    scored = torch.from_numpy(np.flatnonzero(counts[:, 1:]))
    return Batch(torch.from_numpy(tokens), scored, torch.from_numpy(documents[:, :-1].copy()) if packed else None)
