"""What positions see of each other where rows hold several examples, and the form in which a kernel is told.

Shapes are those of `model.forward`, and S columns that are seen or not.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from model.matmul import round_up

BIAS_MULTIPLE = 8
"""Rows of a bias lie at multiples of this, or attention on a GPU copies it in every layer to have it so
(preprocess_mask in aten/src/ATen/native/transformers/attention.cpp, PyTorch 2.13)."""


def positions_within(documents: Tensor) -> Tensor:
    """The position of each input in its own example, counted from 0, (B, T); see `model.batch.Batch.documents`."""
    index = torch.arange(documents.shape[1], device=documents.device)  # (T,)
    begins = F.pad(documents[:, 1:] != documents[:, :-1], (1, 0))  # (B, T)
    first = torch.where(begins, index, 0).cummax(1).values  # (B, T): where the example of a position begins
    return index - first


def seen_within(documents: Tensor) -> Tensor:
    """Where a position (the third axis) sees another (the last): of its own example and not later, (B, 1, T, T)."""
    length = documents.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()  # (T, T)
    return (documents[:, None, :, None] == documents[:, None, None, :]) & causal


def attention_bias(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """What attention adds to its scores: 0 for columns that are `seen` (..., S) and -inf for others, like it in shape.

    A kernel that is given `seen` itself makes this in every layer, and keeps it for the backward pass.
    """
    return padded_bias(seen, dtype)[..., : seen.shape[-1]]


def padded_bias(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """The same, with columns that nobody sees up to a multiple of BIAS_MULTIPLE."""
    columns = seen.shape[-1]
    wide = F.pad(seen, (0, round_up(columns, BIAS_MULTIPLE) - columns))
    return torch.zeros(wide.shape, dtype=dtype, device=seen.device).masked_fill_(~wide, -torch.inf)
