"""The checks of `python -m benchmarks gpu --parts parity` as tests. Without a CUDA device they are skipped."""

from collections.abc import Callable, Iterator

import pytest
import torch

from benchmarks.gpu.parity import BY_PRECISION, ONCE, Check, devices
from benchmarks.gpu.runs import precisions

CUDA = torch.device("cuda")
PRECISIONS = precisions(CUDA) if torch.cuda.is_available() else ["fp32"]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def hold(checks: Iterator[Check]) -> None:
    made = list(checks)
    assert made
    assert [check for check in made if not check.met] == []


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("check", BY_PRECISION, ids=lambda check: check.__name__)
def test_a_gpu_computes_what_it_should_in_each_precision(check: Callable[..., Iterator[Check]], precision: str) -> None:
    hold(check(CUDA, precision, False))


@pytest.mark.parametrize("check", ONCE, ids=lambda check: check.__name__)
def test_a_gpu_computes_what_it_should(check: Callable[..., Iterator[Check]]) -> None:
    hold(check(CUDA, False))


def test_memory_of_a_gpu_ends_where_it_is_told_to() -> None:
    hold(devices.memory_limit(CUDA))
