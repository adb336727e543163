"""The batches of a trial: of each optimizer step, and of the held-out sets."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from basis.fields import LossOn
from model.batch import Batch
from sweep.data.encode import ASSISTANT, COMPLETION
from sweep.data.rows import CutExamples, TrainRows, cut_examples, settled_packing, spread
from sweep.data.token_files import ExampleTokens, open_examples
from sweep.data.windows import test_window_starts, train_window_starts, windows
from sweep.trial.config import TrialConfig

PAD = 0
"""The token behind an example that is shorter than its row. No target there counts, so any token does."""


class HeldOut(NamedTuple):
    """What a loss is measured on.

    Attributes:
        batch: windows of texts; of other examples one a row.
        text_bytes: bytes of text that the targets that count stand for; None: nobody has counted them.
        text_digest: which text of its set each row scores. Of the same set it is equal for two tokenizers whose rows
            score the same text, row by row. None where bytes were not counted.
    """

    batch: Batch
    text_bytes: int | None
    text_digest: str | None = None


class TrainBatches:
    """The batch of each optimizer step, a function of the trial's seed and the step alone."""

    def __init__(self, tokens_path: Path, config: TrialConfig) -> None:
        """Open the train tokens at a path."""
        self._examples = open_examples(tokens_path)
        self._config = config
        self._bit = None if self._examples.roles is None else role_that_counts(config.loss_on)
        self._cut: CutExamples | None = None
        self._documents = False
        packing = settled_packing(config.packing, is_text=self._examples.roles is None)
        if packing != "stream":
            self._cut = cut_examples(self._examples, config.block_size)
            self._rows = TrainRows(self._cut, config.seed, config.block_size, packing)
            self._documents = packing == "examples"

    def at(self, step: int) -> Batch:
        """The batch of optimizer step `step`."""
        config, examples = self._config, self._examples
        if self._cut is None:
            count = len(examples.tokens)
            starts = train_window_starts(config.seed, step, config.batch_size, count, config.block_size)
            return _window_batch(examples, starts, config.block_size, self._bit)
        rows = self._rows.step(step, config.batch_size)
        width = config.block_size if self._documents else None
        return _example_batch(examples, self._cut, rows, width, self._bit, documents=self._documents)


def held_out(tokens_path: Path, config: TrialConfig) -> HeldOut:
    """The fixed batch of a held-out set: the same for every trial, whatever its packing and loss_on.

    Texts are windows, all of which counts. Pairs and conversations are one example a row, cut to block_size, of which
    the assistant's turns count. At most `test_windows` rows, spread evenly.
    """
    examples = open_examples(tokens_path)
    if examples.roles is None:
        starts = test_window_starts(len(examples.tokens), config.block_size, config.test_windows)
        batch = _window_batch(examples, starts, config.block_size, None)
        if examples.bytes is None:
            return HeldOut(batch, None)
        by_row = windows(examples.bytes, starts, config.block_size)[:, 1:].sum(axis=1)
        return HeldOut(batch, int(by_row.sum()), _digest(np.cumsum(examples.bytes)[starts], by_row))
    assert examples.bytes is not None, "held-out tokens of messages are written with their bytes"
    cut = cut_examples(examples, config.block_size)
    rows = [[example] for example in spread(len(cut.starts), config.test_windows).tolist()]
    batch = _example_batch(examples, cut, rows, None, ASSISTANT, documents=False)
    by_row = np.zeros(len(rows), np.int64)
    for row, [example] in enumerate(rows):
        targets = slice(cut.starts[example] + 1, cut.starts[example] + cut.lengths[example])
        by_row[row] = examples.bytes[targets][(examples.roles[targets] & ASSISTANT) > 0].sum()
    numbers = np.searchsorted(examples.ends, cut.starts[np.concatenate(rows)], side="right")
    return HeldOut(batch, int(by_row.sum()), _digest(numbers, by_row))


def _digest(places: npt.NDArray[Any], text_bytes: npt.NDArray[Any]) -> str:
    """SHA-256 of where the text of each row begins, and how many bytes of it count."""
    return hashlib.sha256(np.stack([places, text_bytes]).astype("<i8").tobytes()).hexdigest()


def role_that_counts(loss_on: LossOn) -> int | None:
    """The role of the tokens of pairs and conversations that count; None: all do. auto: in a pair both are the same."""
    return {"all": None, "completions": COMPLETION}.get(loss_on, ASSISTANT)


def _window_batch(examples: ExampleTokens, starts: npt.NDArray[np.int64], block_size: int, bit: int | None) -> Batch:
    tokens = torch.from_numpy(windows(examples.tokens, starts, block_size))
    if bit is None:
        return Batch(tokens)
    assert examples.roles is not None
    scored = np.flatnonzero(windows(examples.roles, starts, block_size)[:, 1:] & bit)
    return Batch(tokens, torch.from_numpy(scored))


def _example_batch(
    examples: ExampleTokens,
    cut: CutExamples,
    rows: Sequence[Sequence[int]],
    width: int | None,
    bit: int | None,
    *,
    documents: bool,
) -> Batch:
    """Rows of examples beside each other.

    Args:
        examples: the set.
        cut: its examples as rows hold them.
        rows: the examples of each row.
        width: inputs per row; None: of the longest of these rows.
        bit: the role of the targets that count; None: all that stand in the example of their input.
        documents: whether to tell which example an input belongs to.
    """
    if width is None:
        width = max(int(cut.lengths[row].sum()) for row in rows) - 1
    tokens = np.full((len(rows), width + 1), PAD, np.int64)
    counts = np.zeros((len(rows), width), np.bool_)
    numbers = np.zeros((len(rows), width + 1), np.int32)
    inputs = np.zeros(len(rows), np.int64)
    for row, members in enumerate(rows):
        end = 0
        for number, example in enumerate(members):
            start, length = int(cut.starts[example]), int(cut.lengths[example])
            begin, end = end, end + length
            tokens[row, begin:end] = examples.tokens[start : start + length]
            counts[row, begin : end - 1] = _counted(examples, start + 1, start + length, bit)
            numbers[row, begin:end] = number
        numbers[row, end:] = len(members)
        inputs[row] = min(end, width)
    return Batch(
        torch.from_numpy(tokens),
        torch.from_numpy(np.flatnonzero(counts)),
        torch.from_numpy(np.ascontiguousarray(numbers[:, :-1])) if documents else None,
        torch.from_numpy(inputs),
    )


def _counted(examples: ExampleTokens, first: int, end: int, bit: int | None) -> Any:
    """Whether each target in a slice of the set's tokens counts."""
    if bit is None:
        return True
    assert examples.roles is not None
    return (examples.roles[first:end] & bit) > 0
