"""A rise of test loss is told in what the arms of a table are compared by."""

from analysis.comparison.grouping import group_arms
from analysis.comparison.loss_metric import by_one_metric
from analysis.findings.overfitting import describe_rises
from tests.synthetic_experiment import of_models

MODELS = {"A": ("words", "rows"), "B": ("letters", "rows")}


def test_a_rise_is_told_by_the_byte_where_tokenizers_differ() -> None:
    results = of_models(MODELS, {"method": "full", "rank": None})
    arms = by_one_metric(group_arms(results))
    (sentence,) = describe_rises(arms, results.curves, looks=1)
    most = arms[1]  # four times the bits by the byte at the same loss by token
    rise = most.test_loss.estimate - most.best_test_loss.estimate
    assert sentence.startswith("Test loss in bits per byte ends above the lowest of its evaluations in 2 of 2 arms")
    assert f", most in {most.label}: from " in sentence
    assert f"by {rise:.4f}; its last train loss is" in sentence


def test_an_arm_that_ends_at_its_lowest_loss_has_no_rise_by_the_byte_either() -> None:
    results = of_models(MODELS, {"rank": 1})
    assert describe_rises(by_one_metric(group_arms(results)), results.curves, looks=1) == []
