"""What a training step or an evaluation is given: rows of tokens, and which of their targets count."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Rows of tokens. B rows of T inputs each; the targets are the tokens behind them.

    Attributes:
        tokens: (B, T + 1) token ids; inputs and targets are the first and the last T of a row.
        scored: (n,) ascending indices of the B T targets, flattened, that count; None: all count. They are made on the
            host, so that nothing waits for a device to learn how many there are.
        documents: (B, T), which example an input belongs to. It sees none of another. None: a row is one example or a
            window of the stream. Padding on the right needs none, since attention is causal.
        lengths: (B,), how many inputs of a row come before its padding; None: no row has any. It stays on the host.
    """

    tokens: Tensor
    scored: Tensor | None = None
    documents: Tensor | None = None
    lengths: Tensor | None = None

    @property
    def inputs(self) -> Tensor:
        """The tokens that are seen, (B, T)."""
        return self.tokens[:, :-1]

    @property
    def targets(self) -> Tensor:
        """The tokens that are to be predicted, (n,)."""
        return self.at_scored(self.tokens[:, 1:].flatten())

    @property
    def scored_count(self) -> int:
        """How many targets count, n."""
        return self.tokens[:, 1:].numel() if self.scored is None else len(self.scored)

    @property
    def input_count(self) -> int:
        """How many inputs belong to an example."""
        return self.inputs.numel() if self.lengths is None else int(self.lengths.sum())

    def at_scored(self, by_position: Tensor) -> Tensor:
        """What belongs to the targets that count, (n, ...), of what belongs to all of them, (B T, ...)."""
        return by_position if self.scored is None else by_position.index_select(0, self.scored)

    def sum_by_row(self, by_scored: Tensor) -> Tensor:
        """The sums over each row, (B,), of what belongs to the targets that count, (n,).

        They are added in the order of positions, so that they do not depend on which rows are together.
        """
        rows, width = self.inputs.shape
        if self.scored is not None:
            by_scored = by_scored.new_zeros(rows * width).index_copy_(0, self.scored, by_scored)  # (B T,)
        return by_scored.view(rows, width).sum(1)

    def scored_by_row(self) -> list[int]:
        """How many targets of each row count, B numbers. It reads `scored`, so call it on the host."""
        rows, width = self.inputs.shape
        if self.scored is None:
            return [width] * rows
        counts: list[int] = torch.bincount(self.scored // width, minlength=rows).tolist()
        return counts

    def split(self, rows: int) -> list["Batch"]:
        """Micro-batches of `rows` rows each; the last one may be shorter. It reads `scored`, so call it on the host."""
        if len(self.tokens) <= rows:
            return [self]
        tokens = self.tokens.split(rows)
        none = [None] * len(tokens)
        documents = none if self.documents is None else self.documents.split(rows)
        lengths = none if self.lengths is None else self.lengths.split(rows)
        parts = zip(tokens, self._split_scored(rows, len(tokens)), documents, lengths, strict=True)
        return [Batch(*part) for part in parts]

    def _split_scored(self, rows: int, parts: int) -> list[Tensor | None]:
        """`scored` of each micro-batch, counted from its own first target."""
        if self.scored is None:
            return [None] * parts
        targets = rows * self.inputs.shape[1]  # of a micro-batch
        firsts = [targets * part for part in range(parts)]
        if self.scored_count == self.inputs.numel():  # all of them: known without reading any
            ends = firsts[1:]
        else:
            ends = torch.searchsorted(self.scored, torch.tensor(firsts[1:])).tolist()
        of_parts = self.scored.tensor_split(ends)
        return [scored - first for scored, first in zip(of_parts, firsts, strict=True)]

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device. Only pinned memory is copied to a GPU without waiting, so it goes there first."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            if device.type == "cuda" and not tensor.is_cuda:
                tensor = tensor.pin_memory()
            return tensor.to(device, non_blocking=True)

        tokens = moved(self.tokens)
        assert tokens is not None
        return Batch(tokens, moved(self.scored), moved(self.documents), self.lengths)
