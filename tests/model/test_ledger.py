"""The ledger of tensors: what it counts, when, and as what."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from model.ledger import NO_LEDGER, MemoryParts, TensorLedger

KIB = 1024


def kibibyte() -> torch.Tensor:
    return torch.empty(KIB // 4)


def test_the_peak_is_of_what_was_there_at_once_and_views_count_nothing() -> None:
    with TensorLedger() as ledger:
        one = kibibyte()
        two = one.view(16, 16).T[3:]
        del one  # `two` still holds the storage
        three = kibibyte()
        del two
        four = kibibyte()
        four.add_(1)
    del three, four
    assert ledger.peaks() == {"": MemoryParts(activations=2 * KIB)}


def test_a_tag_holds_from_when_the_tensor_was_made() -> None:
    held = kibibyte()
    ledger = TensorLedger()
    ledger.tag("weights", [held])
    with ledger:
        logits = kibibyte()
        ledger.tag("logits", [logits])
        gradient = kibibyte()
        temporary = kibibyte()
        del temporary
        ledger.tag("gradients", [gradient[1:]])  # after the peak
    assert ledger.peaks()[""] == MemoryParts(weights=KIB, logits=KIB, gradients=KIB, activations=KIB)
    assert ledger.peaks()[""].total == 4 * KIB


def test_each_stretch_of_a_step_has_its_own_peak() -> None:
    with TensorLedger() as ledger:
        ledger.moment("forward")
        kept = kibibyte()
        passing = kibibyte()
        del passing
        ledger.moment("backward")
        del kept
        ledger.moment("update")
    totals = {name: parts.total for name, parts in ledger.peaks().items()}
    assert totals == {"forward": 2 * KIB, "backward": KIB, "update": 0}


def test_a_step_that_nobody_keeps_account_of_does_not_even_look_for_what_it_would_tell() -> None:
    tensors = (pytest.fail("looked for") for _ in range(1))
    NO_LEDGER.tag("logits", tensors)
    NO_LEDGER.moment("forward")
    with TensorLedger() as ledger:
        pass
    kibibyte()
    assert ledger.peaks() == {}


def test_sizes_are_rounded_up_as_a_caching_allocator_does() -> None:
    with TensorLedger(round_to=512) as ledger:
        small = torch.empty(1)
        larger = torch.empty(129)
    assert ledger.peaks()[""].total == 512 + 1024
    del small, larger


def test_a_backward_pass_without_storage_counts_as_a_real_one_does() -> None:
    def peak() -> int:
        w = torch.zeros(64, 64, requires_grad=True)
        with TensorLedger() as ledger:
            ledger.tag("weights", [w])
            (torch.zeros(32, 64) @ w).relu().sum().backward()
        return max(parts.total for parts in ledger.peaks().values())

    real = peak()
    with FakeTensorMode():
        assert peak() == real
    assert real > 2 * 64 * 64 * 4
