"""What a training step or an evaluation is given: rows of tokens, and which of their targets count."""

from dataclasses import dataclass

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
    """

    tokens: Tensor
    scored: Tensor | None = None
    documents: Tensor | None = None
