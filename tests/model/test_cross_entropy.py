"""The chunked cross-entropy against PyTorch's on whole logits: loss, every gradient, extremes, bf16."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from model import cross_entropy
from model.cross_entropy import Chunking, chunked_cross_entropy, position_losses

PADDED = pytest.mark.parametrize("padded", [False, True], ids=["as it is", "padded as on a GPU"])


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rows a chunk: 23 rows make three whole chunks and a short one."""
    monkeypatch.setitem(cross_entropy.CHUNKING, "cpu", Chunking(7, pad_weights=False))


def operands(vocabulary: int, dtype: torch.dtype, rank: int | None) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    torch.manual_seed(0)
    widths = [16] if rank is None else [16, rank]
    terms = [
        (
            torch.randn(23, width, dtype=dtype, requires_grad=True),
            torch.randn(vocabulary, width, dtype=dtype, requires_grad=True),
        )
        for width in widths
    ]
    return torch.randint(0, vocabulary, (23,)), terms


def plain(targets: Tensor, terms: list[tuple[Tensor, Tensor]]) -> Tensor:
    return F.cross_entropy(sum((x @ w.T for x, w in terms), torch.zeros(())), targets)


@pytest.mark.parametrize("vocabulary", [61, 64, 130])
@pytest.mark.parametrize("rank", [None, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@PADDED
def test_loss_and_every_gradient_are_those_of_whole_logits(
    vocabulary: int,
    rank: int | None,
    dtype: torch.dtype,
    tolerance: float,
    padded: bool,
) -> None:
    targets, terms = operands(vocabulary, dtype, rank)
    leaves = [leaf for term in terms for leaf in term]
    expected = torch.autograd.grad(3 * plain(targets, terms), leaves)
    loss = chunked_cross_entropy(targets, *terms, chunking=Chunking(7, padded))
    assert loss.dtype == dtype
    torch.testing.assert_close(loss, plain(targets, terms), rtol=tolerance, atol=0)
    for ours, theirs in zip(torch.autograd.grad(3 * loss, leaves), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@PADDED
def test_an_adapters_weight_may_be_narrower_than_its_padded_rank(padded: bool) -> None:
    targets, terms = operands(61, torch.float64, rank=3)
    hidden, head, low, B = (leaf for term in terms for leaf in term)
    wide = F.pad(low, (0, 5))  # (23, 8), as `head_terms` gives it on a GPU
    chunking = Chunking(7, padded)
    losses = [chunked_cross_entropy(targets, (hidden, head), (rows, B), chunking=chunking) for rows in (wide, low)]
    torch.testing.assert_close(*losses, rtol=1e-13, atol=0)
    gradients = [torch.autograd.grad(loss, [hidden, head, low, B]) for loss in losses]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def capped(targets: Tensor, terms: list[tuple[Tensor, Tensor]], softcap: float) -> Tensor:
    """The loss of each position by autograd, as Gemma 2 has it (transformers, `modeling_gemma2.py`)."""
    logits = sum((x @ w.T for x, w in terms), torch.zeros(()))
    return F.cross_entropy(torch.tanh(logits / softcap) * softcap, targets, reduction="none")


@pytest.mark.parametrize("vocabulary", [61, 64])
@pytest.mark.parametrize("softcap", [0.5, 4.0, 30.0])  # products are of about 6, so the first cap flattens them all
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
@PADDED
def test_a_soft_cap_has_its_exact_gradient(
    vocabulary: int,
    softcap: float,
    dtype: torch.dtype,
    tolerance: float,
    padded: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cross_entropy, "SLAB_LOGITS", 3 * 64)  # slopes of three rows at a time
    targets, terms = operands(vocabulary, dtype, 3)
    leaves = [leaf for term in terms for leaf in term]
    theirs = capped(targets, terms, softcap)
    chunking = Chunking(7, padded)
    loss = chunked_cross_entropy(targets, *terms, softcap=softcap, chunking=chunking)
    torch.testing.assert_close(loss, theirs.mean(), rtol=tolerance, atol=0)
    each = position_losses(targets, *terms, softcap=softcap, chunking=chunking)
    torch.testing.assert_close(each, theirs.detach(), rtol=tolerance, atol=tolerance)
    expected = torch.autograd.grad(3 * theirs.mean(), leaves)
    for ours, wanted in zip(torch.autograd.grad(3 * loss, leaves), expected, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=10 * tolerance, atol=tolerance)


def test_a_soft_capped_target_without_probability_in_fp32_keeps_its_slope() -> None:
    x, w = torch.tensor([[1.0]]), torch.tensor([[0.0], [300.0], [-300.0]], requires_grad=True)
    loss = chunked_cross_entropy(torch.tensor([2]), (x, w), softcap=400.0)
    exact = capped(torch.tensor([2]), [(x.double(), w.double())], 400.0)[0]
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
    (ours,), (theirs,) = torch.autograd.grad(loss, [w]), torch.autograd.grad(exact, [w])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bf16", [False, True])
@PADDED
def test_a_heads_bias_is_a_term_of_ones(bf16: bool, padded: bool) -> None:
    targets, [(x, w)] = operands(61, torch.float32 if bf16 else torch.float64, None)
    bias = torch.randn(61, dtype=x.dtype, requires_grad=True)
    terms = [(x, w), (x.new_ones(23, 1), bias[:, None])]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        ours = chunked_cross_entropy(targets, *terms, softcap=8.0, chunking=Chunking(7, padded))
    logits = F.linear(x, w, bias)
    theirs = F.cross_entropy(8 * torch.tanh(logits / 8), targets)
    torch.testing.assert_close(ours, theirs, rtol=0.02 if bf16 else 1e-12, atol=0)
    both = (torch.autograd.grad(loss, [x, w, bias]) for loss in (ours, theirs))
    for our_gradient, wanted in zip(*both, strict=True):
        allowed = 0.02 * float(wanted.abs().max()) if bf16 else 1e-13
        torch.testing.assert_close(our_gradient, wanted, rtol=0.1 if bf16 else 1e-11, atol=allowed)


@pytest.mark.parametrize("rank", [None, 3])
@PADDED
def test_the_loss_of_each_position_is_that_of_whole_logits(rank: int | None, padded: bool) -> None:
    targets, terms = operands(61, torch.float64, rank)
    logits = sum((x @ w.T for x, w in terms), torch.zeros(()))
    losses = position_losses(targets, *terms, chunking=Chunking(7, padded))
    torch.testing.assert_close(losses, F.cross_entropy(logits, targets, reduction="none").detach())


def test_a_frozen_head_gets_no_gradient_and_without_grad_mode_nothing_does() -> None:
    targets, [(x, w)] = operands(61, torch.float64, None)
    (ours,) = torch.autograd.grad(chunked_cross_entropy(targets, (x, w.detach())), [x])
    (theirs,) = torch.autograd.grad(plain(targets, [(x, w)]), [x])
    torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        assert not chunked_cross_entropy(targets, (x, w)).requires_grad


def test_parts_with_one_divisor_add_up_to_the_whole() -> None:
    targets, [(x, w)] = operands(61, torch.float64, None)
    parts = [chunked_cross_entropy(targets[i], (x[i], w), divisor=23) for i in (slice(0, 10), slice(10, 23))]
    torch.testing.assert_close(sum(parts, torch.zeros(())), plain(targets, [(x, w)]))


def test_the_loss_of_a_target_beyond_fp32s_smallest_probability_is_exact() -> None:
    """softmax(z) is exactly zero there, whose logarithm would be infinite."""
    x, w = torch.tensor([[1.0]]), torch.tensor([[0.0], [500.0], [-300.0]], requires_grad=True)
    loss = chunked_cross_entropy(torch.tensor([2]), (x, w))
    assert loss.item() == 800.0
    loss.backward()  # type: ignore[no-untyped-call]
    assert w.grad is not None
    assert w.grad.flatten().tolist() == [0.0, 1.0, -1.0]


def test_a_logit_that_is_not_finite_shows_in_the_loss() -> None:
    targets, [(x, w)] = operands(61, torch.float32, None)
    broken = x.detach().clone()
    broken[3, 0] = torch.inf
    assert not chunked_cross_entropy(targets, (broken, w)).isfinite()


@PADDED
def test_under_autocast_products_are_bf16_and_gradients_keep_the_weights_dtype(padded: bool) -> None:
    targets, terms = operands(61, torch.float32, 3)
    leaves = [leaf for term in terms for leaf in term]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = chunked_cross_entropy(targets, *terms, chunking=Chunking(7, padded))
    assert loss.dtype == torch.float32
    exact = plain(targets, terms)
    assert loss.item() != exact.item()
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0)  # bf16 keeps 8 bits
    for ours, theirs in zip(torch.autograd.grad(loss, leaves), torch.autograd.grad(exact, leaves), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0.1, atol=0.02 * float(theirs.abs().max()))


def test_the_logits_of_a_whole_batch_never_exist() -> None:
    """The largest allocation, by PyTorch's own account, is the chunk's logits and not the batch's."""
    torch.manual_seed(0)
    rows, vocabulary, width = 700, 4096, 8
    x, w = torch.randn(rows, width, requires_grad=True), torch.randn(vocabulary, width)
    targets = torch.randint(0, vocabulary, (rows,))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        chunked_cross_entropy(targets, (x, w)).backward()  # type: ignore[no-untyped-call]
    largest = max(event.cpu_memory_usage for event in profiled.events())
    assert 7 * vocabulary * 4 <= largest < 2 * 7 * vocabulary * 4 < rows * vocabulary * 4 / 10
