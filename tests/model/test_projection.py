"""An adapter whose rank is padded for a GPU's products: the numbers, shapes and rows that come of it."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from model.matmul import RANK_MULTIPLE
from model.projection import project

ON_A_GPU = RANK_MULTIPLE["cuda"]
IN, OUT, ROWS = 16, 24, 40
RANKS = pytest.mark.parametrize("rank", [1, 3, 8, 10])


def operands(rank: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    torch.manual_seed(0)
    shapes = {"x": (2, ROWS // 2, IN), "kernel": (IN, OUT), "bias": (OUT,), "A": (rank, IN), "B": (OUT, rank)}
    return {name: torch.randn(shape, dtype=dtype, requires_grad=True) for name, shape in shapes.items()}


def output_and_gradients(tensors: dict[str, Tensor], rank_multiple: int, after_gelu: bool) -> dict[str, Tensor]:
    x, kernel, bias, A, B = tensors.values()
    y = project(x, kernel, bias, (A, B, 0.7), after_gelu, rank_multiple)
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return {"y": y, **dict(zip(tensors, torch.autograd.grad((y * weights).sum(), list(tensors.values())), strict=True))}


@RANKS
@pytest.mark.parametrize("after_gelu", [False, True], ids=["plain", "after GELU"])
def test_a_padded_rank_changes_no_output_and_no_gradient(rank: int, after_gelu: bool) -> None:
    tensors = operands(rank)
    padded, plain = (output_and_gradients(tensors, multiple, after_gelu) for multiple in (ON_A_GPU, 1))
    for name, expected in plain.items():
        torch.testing.assert_close(padded[name], expected, rtol=1e-13, atol=1e-13)
        assert padded[name].shape == (tensors[name].shape if name in tensors else (2, ROWS // 2, OUT))


@RANKS
def test_the_zeros_that_are_added_add_exactly_zero(rank: int) -> None:
    """Integers are exact in fp32, whatever the order in which a kernel adds them up."""
    tensors = {name: tensor.detach().mul(4).round().requires_grad_() for name, tensor in operands(rank).items()}
    x, kernel, bias, A, B = (tensor.float() for tensor in tensors.values())
    padded, plain = (project(x, kernel, bias, (A, B, 2.0), rank_multiple=multiple) for multiple in (ON_A_GPU, 1))
    assert torch.equal(padded, plain)
    gradients = [torch.autograd.grad(y.sum(), list(tensors.values()), retain_graph=True) for y in (padded, plain)]
    assert all(torch.equal(ours, expected) for ours, expected in zip(*gradients, strict=True))


def test_under_autocast_a_padded_rank_rounds_like_a_plain_one_and_adapters_keep_fp32_gradients() -> None:
    tensors = operands(3, torch.float32)
    exact = output_and_gradients({name: tensor.double() for name, tensor in tensors.items()}, 1, after_gelu=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        padded, plain = (output_and_gradients(tensors, multiple, after_gelu=True) for multiple in (ON_A_GPU, 1))
    for name, reference in exact.items():
        assert padded[name].dtype == plain[name].dtype == (torch.bfloat16 if name == "y" else torch.float32)
        errors = [((each[name] - reference).norm() / reference.norm()).item() for each in (padded, plain)]
        assert errors[0] == pytest.approx(errors[1], rel=0.05)
        assert errors[0] < 0.05  # of the bias's gradient, a sum of numbers that cancel; others' are below 0.01


class Products(TorchDispatchMode):
    """Keeps the operands and results of all products."""

    def __init__(self) -> None:
        super().__init__()
        self.matrices: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_):
            self.matrices += [each for each in (*args, result) if isinstance(each, Tensor) and each.dim() == 2]
        return result


@RANKS
def test_every_row_of_a_padded_rank_s_products_is_a_multiple_long(rank: int) -> None:
    tensors = operands(rank, torch.bfloat16)
    with Products() as products:
        output_and_gradients(tensors, ON_A_GPU, after_gelu=True)
    assert len(products.matrices) >= 7 * 3
    for matrix in products.matrices:
        assert 1 in matrix.stride()
        assert all(size % ON_A_GPU == 0 for size in matrix.shape)
        assert all(stride % ON_A_GPU == 0 for stride in matrix.stride() if stride != 1)
