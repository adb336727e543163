"""The dense products of the training step and of generation, by the fastest kernel there is for them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

RANK_MULTIPLE = {"cpu": 1, "cuda": 8}
"""By device: adapters go into products with their rank rounded up to a multiple of this.

A GPU's tensor cores load 16 bytes at a time, which are 8 values in bf16. Where rows are no multiple of that, cuBLAS
takes slower kernels (NVIDIA, "Matrix Multiplication Background User's Guide"; pytorch#106469: up to 27 times slower).
"""

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ w.T + bias for x (rows, in) and w (out, in), which may be a transposed view; no autograd.

    On CPUs PyTorch sends fp32 products to MKL. oneDNN, which comes with PyTorch too, was measured on an AMD EPYC: 5 to
    10 % faster at the shapes of training, 1.5 times and more at the few rows of a decoding step. Its operator has no
    public name, so where a PyTorch lacks it the usual one is taken; compiled graphs choose for themselves.
    """
    if _ONEDNN and x.device.type == "cpu" and x.dtype == w.dtype == torch.float32 and not torch.compiler.is_compiling():
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, w, bias, "none", [], "")
        return y
    return F.linear(x, w, bias)


def round_up(size: int, multiple: int) -> int:
    """The least multiple of `multiple` that is `size` or more."""
    return -(-size // multiple) * multiple


def padded(w: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """`w` in `dtype`, with zeros behind its rows and columns up to `shape`; itself where nothing changes.

    A copy that casts pads at no extra cost. No autograd.
    """
    if w.shape == torch.Size(shape):
        return w.to(dtype)
    operand = w.new_zeros(shape, dtype=dtype)
    operand[: w.shape[0], : w.shape[1]].copy_(w)
    return operand
