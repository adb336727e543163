"""The operations of a step, at a shape small enough to count by hand."""

from model.step_flops import flops_per_token, recomputed_flops_per_token


def test_flops_of_a_shape_small_enough_to_count_by_hand() -> None:
    # weights in matrices: a block has 3 d^2 + d^2 + 4 d^2 + 4 d^2 = 1200, twice, and the head 70: 2470
    # attention: forward 2 T d per layer = 80, two layers 160, with backward three times that: 480
    shape = {"layers": 2, "width": 10, "block": 4}
    assert flops_per_token("full", matrices=2470, **shape) == 6 * 2470 + 480
    assert flops_per_token("lora", matrices=2470, **shape) == 4 * 2470 + 480
    assert recomputed_flops_per_token(block_matrices=2400, **shape) == 2 * 2400 + 160  # the head is not computed again
