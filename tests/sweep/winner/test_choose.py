"""Which arm stands first, and which of its seeds stands for it."""

from dataclasses import replace

import pytest

from analysis.comparison.evidence import evidence_of
from basis.errors import UserError
from sweep.winner.choose import choose_arm, middle_seed
from tests.planted_sweep import grid, planted

CONFIGS = grid(method=["full"], rank=[None], optimizer=["adamw", "sgd"], seed=[0, 1, 2, 3])
LOSSES = {0: 2.0, 1: 1.0, 2: 4.0, 3: 3.0}


def evidence(seeds: int = 3):  # type: ignore[no-untyped-def]
    configs = [config for config in CONFIGS if config["seed"] < seeds]
    return evidence_of(
        planted(
            lambda config: LOSSES[config["seed"]] + (config["optimizer"] == "sgd"),
            configs,
            win_rate=lambda config: 0.75 if config["optimizer"] == "sgd" else 0.5,
        )
    )


@pytest.mark.parametrize(("seeds", "chosen"), [(1, 0), (2, 1), (3, 0), (4, 0)])
def test_the_seed_of_the_median_loss_stands_for_its_arm(seeds: int, chosen: int) -> None:
    arm, why_arm = choose_arm(evidence(seeds), "full adamw")
    trial, why = middle_seed(arm, list(arm.used["trial"]))
    assert dict(zip(arm.used["trial"], arm.used["seed"], strict=True))[trial] == chosen
    assert (why_arm, f"seed {chosen}" in why) == ("it was named", True)


def test_a_seed_whose_weights_are_gone_is_passed_over() -> None:
    arm, _ = choose_arm(evidence(), "full adamw")
    by_seed = dict(zip(arm.used["seed"], arm.used["trial"], strict=True))
    assert middle_seed(arm, [by_seed[1], by_seed[2]])[0] == by_seed[1]
    assert middle_seed(arm, [by_seed[2]]) == (by_seed[2], "seed 2 is the only one left of 3")


def test_the_arm_of_the_lowest_loss_stands_first_unless_another_metric_decides() -> None:
    arm, why = choose_arm(evidence())
    assert (arm.label, why.startswith("its mean test loss is the lowest")) == ("full adamw", True)
    arm, why = choose_arm(evidence(), best="win_rate")
    assert (arm.label, why) == ("full sgd", "its mean win rate, 0.7500, is the best")
    with pytest.raises(UserError, match="no arm has a forgetting"):
        choose_arm(evidence(), best="forgetting")


def test_losses_of_other_windows_or_tokens_have_no_best() -> None:
    lengths = grid(method=["full"], rank=[None], optimizer=["adamw", "sgd"], block_size=[32, 64])
    windows = evidence_of(planted(lambda config: 2.0, lengths, win_rate=lambda config: config["block_size"] / 100))
    with pytest.raises(UserError, match="--best test_loss: arms were tested on different windows, so name one"):
        choose_arm(windows, best="test_loss")
    with pytest.raises(UserError, match="--arm: missing; arms were tested on different windows, so name one;"):
        choose_arm(windows)
    assert "64" in choose_arm(windows, best="win_rate")[0].label
    known = evidence()
    by_bytes = replace(known, arms=[replace(arm, loss_metric="test_bits_per_byte") for arm in known.arms])
    with pytest.raises(UserError, match="tokenizers differ; accepted: test_bits_per_byte"):
        choose_arm(by_bytes, best="test_loss")
    assert choose_arm(by_bytes, best="win_rate")[0].label == "full sgd"


def test_a_beginning_names_an_arm_where_one_alone_begins_so() -> None:
    with pytest.raises(UserError, match="'full' begins the names of 2 arms: full adamw, full sgd"):
        choose_arm(evidence(), "full")
