"""Which arm stands first, and which of its seeds stands for it."""

import pytest

from analysis.comparison.evidence import evidence_of
from analysis.verdict.ranking import rank_arms
from basis.errors import UserError
from sweep.winner.choose import _best_by, _lowest, _named, middle_seed
from tests.planted_sweep import grid, planted

CONFIGS = grid(method=["full"], optimizer=["adamw", "sgd"], seed=[0, 1, 2, 3])
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
    arm = _named("full adamw", evidence(seeds).arms)
    trial, why = middle_seed(arm, list(arm.used["trial"]))
    assert dict(zip(arm.used["trial"], arm.used["seed"], strict=True))[trial] == chosen
    assert f"seed {chosen}" in why


def test_a_seed_whose_weights_are_gone_is_passed_over() -> None:
    arm = _named("full adamw", evidence().arms)
    by_seed = dict(zip(arm.used["seed"], arm.used["trial"], strict=True))
    assert middle_seed(arm, [by_seed[1], by_seed[2]])[0] == by_seed[1]


def test_the_arm_of_the_lowest_loss_stands_first_unless_another_metric_decides() -> None:
    planted_evidence = evidence()
    rankings = [ranking for ranking in rank_arms(planted_evidence, ()) if ranking.ranked]
    arm, why = _lowest(rankings)
    assert (arm.label, why.startswith("its mean test loss is the lowest")) == ("full adamw", True)
    arm, why = _best_by("win_rate", planted_evidence.finished)
    assert (arm.label, why) == ("full sgd", "its mean win rate, 0.7500, is the best")
    with pytest.raises(UserError, match="no arm has a forgetting"):
        _best_by("forgetting", planted_evidence.finished)


def test_a_beginning_names_an_arm_where_one_alone_begins_so() -> None:
    arms = evidence().arms
    with pytest.raises(UserError, match="'full' begins the names of 2 arms: full adamw, full sgd"):
        _named("full", arms)
