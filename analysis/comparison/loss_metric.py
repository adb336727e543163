"""What test losses are compared by, nats per token or bits per byte: decided once for a table, and once for a sweep.

A nat per token is per token of a tokenizer. Arms of models whose tokenizers differ are compared by the loss of the same
text, whose bytes no tokenizer changes. Models that make the same tokens of the test set have one unit, whatever the
hashes of their tokenizers: that of a model from the hub is its name and commit.
"""

from collections.abc import Sequence
from dataclasses import replace

from analysis.comparison.arms import Arm, LossMetric


def by_one_metric(arms: Sequence[Arm]) -> list[Arm]:
    """The same arms, their test losses in bits per byte where their tokenizers differ.

    Args:
        arms: arms that meet in one table, figure or test, whatever became of them.

    Returns:
        The arms in their order, in nats per token where one tokenizer is known, or none, or one set of test tokens.
    """
    tokenizers = {arm.tokenizer for arm in arms if arm.tokenizer}
    tokens = {arm.test_tokens for arm in arms if arm.test_tokens}
    metric: LossMetric = "test_bits_per_byte" if len(tokenizers) > 1 and len(tokens) != 1 else "test_loss"
    return [arm if arm.loss_metric == metric else replace(arm, loss_metric=metric) for arm in arms]


def in_unit(arms: Sequence[Arm]) -> str:
    """What a sentence about their test losses adds: " in bits per byte", or nothing where they are nats per token."""
    return " in bits per byte" if by_text(arms) else ""


def by_text(arms: Sequence[Arm]) -> bool:
    """Whether these arms are compared in bits per byte of text, as `by_one_metric` decided."""
    return metric_of(arms) == "test_bits_per_byte"


def metric_of(arms: Sequence[Arm]) -> LossMetric:
    """The test loss that these arms are compared by, as `by_one_metric` decided."""
    return arms[0].loss_metric if arms else "test_loss"
