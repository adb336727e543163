"""Batches: which targets count, by micro-batch and by row."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from model.batch import Batch

TOKENS = torch.arange(5 * 5).view(5, 5)  # 5 rows of 4 inputs
SCORED = torch.tensor([1, 2, 8, 9, 10, 11, 19])  # two targets of row 0, all of row 2, the last of row 4
DOCUMENTS = torch.arange(5 * 4, dtype=torch.int32).view(5, 4)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 9])
def test_micro_batches_have_the_rows_targets_and_documents_of_the_whole(rows: int) -> None:
    whole = Batch(TOKENS, SCORED, DOCUMENTS)
    micro_batches = whole.split(rows)
    assert max(len(micro.tokens) for micro in micro_batches) == min(rows, 5)
    assert torch.equal(torch.cat([micro.tokens for micro in micro_batches]), TOKENS)
    assert torch.equal(
        torch.cat([micro.documents for micro in micro_batches if micro.documents is not None]), DOCUMENTS
    )
    assert torch.cat([micro.targets for micro in micro_batches]).tolist() == [2, 3, 11, 12, 13, 14, 24]
    by_row = [count for micro in micro_batches for count in micro.scored_by_row()]
    assert by_row == whole.scored_by_row() == [2, 0, 4, 0, 1]
    assert sum(micro.scored_count for micro in micro_batches) == whole.scored_count == 7


def test_padding_is_no_input_that_counts() -> None:
    padded = Batch(TOKENS, SCORED, lengths=torch.tensor([3, 1, 4, 2, 4]))
    assert padded.input_count == sum(micro.input_count for micro in padded.split(2)) == 14
    assert padded.to(torch.device("cpu")).input_count == 14
    assert Batch(TOKENS, SCORED).input_count == 20


def test_all_targets_count_where_none_are_named() -> None:
    unnamed, named = Batch(TOKENS), Batch(TOKENS, torch.arange(20))
    for first, second in zip(unnamed.split(2), named.split(2), strict=True):
        assert first.scored is None
        assert torch.equal(first.targets, second.targets)
        assert first.scored_by_row() == second.scored_by_row()


def test_losses_are_summed_by_row_alike_whatever_rows_are_together() -> None:
    losses = torch.rand(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = Batch(TOKENS, SCORED)
    parts = zip(whole.split(2), losses.split([2, 4, 1]), strict=True)
    apart = torch.cat([micro.sum_by_row(of_micro) for micro, of_micro in parts])
    assert torch.equal(apart, whole.sum_by_row(losses))
    assert apart.tolist() == pytest.approx([float(losses[:2].sum()), 0, float(losses[2:6].sum()), 0, float(losses[6])])


def test_a_batch_whose_targets_all_count_is_split_without_reading_them() -> None:
    """So memory is predicted for the most targets that there can be."""
    with FakeTensorMode():
        batch = Batch(torch.zeros(5, 5, dtype=torch.long), torch.zeros(20, dtype=torch.long))
        assert [micro.scored_count for micro in batch.split(2)] == [8, 8, 4]
