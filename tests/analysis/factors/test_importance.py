"""Shares of variance that are exact on a grid, and in the right order where there is none."""

import math
import random
from collections.abc import Callable

import numpy as np
import optuna
import pytest

from analysis.comparison.grouping import group_arms
from analysis.factors import forest
from analysis.factors.importance import FEWEST_ARMS, Importance, adjusted_shares, factor_levels, share_of_variance
from analysis.statistics.anova import SEEDS, TOGETHER
from analysis.statistics.difference_tests import crossed_test
from analysis.statistics.multiple_tests import holm
from tests.analysis.factors.test_effects import FULL, SGD
from tests.planted_sweep import Config, grid, planted
from tests.synthetic_experiment import with_window_losses

SHIFT = {"sgd": 0.3, "momentum": 0.1, "adamw": 0.0}


def shared(loss: Callable[[Config], float], configs: list[Config]) -> Importance:
    return share_of_variance(group_arms(planted(loss, configs)), "test_loss")


def test_shares_of_a_full_grid_are_the_planted_ones_and_add_up_to_one() -> None:
    a, b = {1: -1.0, 10: 0.0, 100: 1.0}, {1e-4: -0.5, 1e-3: 0.5}
    configs = grid(rank=list(a), lr=list(b), seed=[1, 2])
    seed = {1: -0.1, 2: 0.1}
    found = shared(lambda c: 9 + a[c["rank"]] + b[c["lr"]] + 0.2 * a[c["rank"]] * b[c["lr"]] + seed[c["seed"]], configs)
    # Variance of each planted part over the grid; an interaction is the product of two parts of mean zero.
    parts = {"rank": 2 / 3, "lr": 0.25, "rank × lr": 0.04 * 2 / 3 * 0.25, SEEDS: 0.01}
    assert found.test == "ANOVA"
    assert found.what == "last test loss of 6 arms × 2 seeds"
    assert found.shares == pytest.approx({name: part / sum(parts.values()) for name, part in parts.items()})


def test_three_factors_share_out_everything_whatever_the_losses() -> None:
    draw = random.Random(0)
    configs = grid(rank=[1, 10], lr=[1e-4, 1e-3, 1e-2], weight_decay=[0.0, 0.1], seed=[1, 2, 3])
    found = shared(lambda c: draw.random(), configs)
    assert set(found.shares) == {"rank", "lr", "weight_decay", "rank × lr", "rank × weight_decay", "lr × weight_decay",
                                 TOGETHER, SEEDS}  # fmt: skip
    assert sum(found.shares.values()) == pytest.approx(1)
    assert min(found.shares.values()) >= 0


def test_f_test_judges_a_source_by_how_much_it_changes_from_seed_to_seed() -> None:
    draw = random.Random(3)
    configs = grid(rank=[1, 10], lr=[1e-4, 1e-3], seed=[1, 2, 3, 4])
    found = shared(lambda c: 2 - 0.05 * (c["rank"] == 10) + c["seed"] + draw.gauss(0, 0.01), configs)
    assert found.p_values["rank"] < 1e-2  # though seeds move the loss twenty times as far
    assert found.shares[SEEDS] > 0.99
    assert found.p_values["lr"] > 0.05
    assert (found.over_seeds, found.method) == (True, "F test over 4 seeds, for these test windows")


def test_f_test_of_two_levels_is_the_test_of_two_arms_on_seeds_and_windows() -> None:
    draw = random.Random(1)
    configs = grid(rank=[1, 10], lr=[1e-4, 1e-3], seed=[1, 2, 3])
    arms = group_arms(
        with_window_losses(planted(lambda c: 2 - 0.01 * (c["rank"] == 10) + draw.gauss(0, 0.01), configs))
    )
    losses = {(arm.config["rank"], arm.config["lr"]): np.array(list(arm.losses_by_seed.values())) for arm in arms}
    between = (losses[1, 1e-4] + losses[1, 1e-3] - losses[10, 1e-4] - losses[10, 1e-3]) / 2
    found = share_of_variance(arms, "test_loss")
    assert found.p_values["rank"] == pytest.approx(crossed_test(between).p_value, rel=1e-6)
    assert found.method == "F test over 3 seeds and 40 windows"


def test_noise_has_a_share_of_its_own_and_all_sources_are_one_family() -> None:
    draw = random.Random(0)
    configs = grid(rank=[1, 4, 16, 64], lr=[1e-4, 1e-3, 1e-2], seed=[1, 2, 3, 4, 5, 6, 7, 8])
    found = shared(lambda c: 2 + draw.gauss(0, 0.1), configs)
    free = {"rank": 3, "lr": 2, "rank × lr": 6}
    assert found.noise == pytest.approx({name: n / (12 * 8 - 1) for name, n in free.items()}, rel=0.5)
    one_seed = shared(lambda c: 2 + draw.gauss(0, 0.1), grid(rank=[1, 4, 16, 64], lr=[1e-4, 1e-3, 1e-2]))
    assert one_seed.noise == pytest.approx({name: n / 11 for name, n in free.items()})
    raw = [*found.p_values.values(), *found.p_values.values()]
    both = adjusted_shares([found, found], looks=2)
    assert [p for one in both for p in one.p_values.values()] == pytest.approx(holm(raw, 2))


def test_a_factor_without_effect_gets_next_to_nothing() -> None:
    draw = random.Random(0)
    configs = [{**c, **(SGD if c["optimizer"] == "sgd" else {})}
               for c in grid(optimizer=list(SHIFT), rank=[1, 10, 100], seed=[1, 2, 3])]  # fmt: skip
    found = shared(lambda c: 2 + SHIFT[c["optimizer"]] + draw.gauss(0, 0.005), configs)
    assert max(found.shares, key=lambda name: found.shares[name]) == "optimizer"
    assert found.shares["optimizer"] > 0.98
    assert found.shares["rank"] < 0.01
    assert found.p_values["rank"] > 0.05


def test_full_fine_tuning_and_the_ranks_are_levels_of_one_factor() -> None:
    configs = grid(rank=[1, 10], lr=[1e-4, 1e-3]) + [{**FULL, "lr": lr} for lr in (1e-4, 1e-3)]
    found = shared(lambda c: 2.0 if c["rank"] is None else 1.0, configs)
    assert found.shares["method and rank"] == pytest.approx(1)
    assert "one seed per arm" in found.note
    assert not found.p_values


def test_factors_that_always_change_together_are_one() -> None:
    arms = group_arms(
        planted(lambda c: 2.0, [{"rank": r, "alpha": float(r), "lr": lr} for r in (1, 2) for lr in (1e-3, 1e-2)])
    )
    assert list(factor_levels(arms)) == ["rank and alpha", "lr"]
    momenta = [{"optimizer": "momentum", "momentum": 0.9}, {"optimizer": "muon", "momentum": 0.95}]
    assert factor_levels(group_arms(planted(lambda c: 2.0, momenta))) == {"optimizer": ["momentum", "muon"]}


@pytest.mark.parametrize("fitted", [60, 40])
@pytest.mark.parametrize("important", ["lr", "optimizer"])
def test_forest_ranks_the_planted_factor_first_on_random_designs(
    important: str, fitted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forest, "MOST_ARMS", fitted)
    draw = random.Random(0)
    configs = [
        {
            "rank": draw.choice([1, 4, 16, 64]),
            "optimizer": draw.choice(["adamw", "muon"]),
            "lr": 10 ** draw.uniform(-5, -1),
        }
        for _ in range(60)
    ]
    size = {"lr": (0.1, 0.01), "optimizer": (0.02, 0.3)}[important]
    found = shared(lambda c: 2 + size[0] * abs(math.log10(c["lr"]) + 3) + size[1] * (c["optimizer"] == "muon"), configs)
    assert found.test == "fANOVA"
    assert next(iter(sorted(found.shares, key=lambda name: -found.shares[name]))) == important
    assert found.shares["rank"] < 0.1
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.p_values[important] == pytest.approx(0.001)  # the least that 999 shuffles can give
    assert found.p_values["rank"] > 0.05
    assert not found.over_seeds
    assert ("fitted to 40 trials, drawn at random from 60, and" in found.note) == (fitted == 40)
    assert ("fitted to 60 trials and" in found.note) == (fitted == 60)


def test_a_number_takes_a_large_share_of_noise_and_the_report_says_so() -> None:
    draw = random.Random(0)
    configs = [{"rank": draw.choice([1, 4]), "lr": 10 ** draw.uniform(-5, -1)} for _ in range(40)]
    found = shared(lambda c: draw.gauss(2, 0.1), [{**c, "seed": s} for c in configs for s in (1, 2)])
    assert found.shares["lr"] > 0.4
    assert found.noise["lr"] == pytest.approx(found.shares["lr"], abs=0.2)
    assert found.p_values["lr"] > 0.05
    assert "Seeds of one arm make up" in found.note


def test_factors_that_go_together_are_not_tested() -> None:
    draw = random.Random(0)
    configs = [{"rank": draw.choice([1, 4, 16]), "optimizer": ("adamw", "muon")[i % 2]} for i in range(60)]
    for config in configs:  # as in a spec whose branches have ranges of their own
        config["lr"] = 10 ** draw.uniform(*((-5, -3) if config["optimizer"] == "adamw" else (-3, -1)))
    found = shared(lambda c: 2 + 0.1 * math.log10(c["lr"]) + draw.gauss(0, 0.01), configs)
    assert set(found.p_values) == {"rank"}
    assert "optimizer, lr go together in this design" in found.note


def test_forest_sees_learning_rates_on_a_logarithmic_scale() -> None:
    """Nine tenths of a linear range of learning rates are its last decade, in which nothing happens here."""
    draw = random.Random(0)
    configs = [{"rank": draw.choice([1, 10]), "lr": 10 ** draw.uniform(-5, -1)} for _ in range(80)]
    found = shared(lambda c: 2 + 0.1 * max(0.0, -2 - math.log10(c["lr"])) + 0.05 * (c["rank"] == 10), configs)
    lr = 0.1 * np.maximum(0, -2 - np.linspace(-5, -1, 10001))
    assert found.shares["lr"] == pytest.approx(lr.var() / (lr.var() + 0.05**2 / 4), abs=0.1)


def test_forest_is_the_same_every_time_and_leaves_the_log_level_as_it_was() -> None:
    draw = random.Random(0)
    configs = [
        {"rank": draw.choice([1, 10]), "lr": 10 ** draw.uniform(-5, -1), "seed": s} for _ in range(20) for s in (1, 2)
    ]
    before = optuna.logging.get_verbosity()
    losses = [shared(lambda c: c["lr"] + c["rank"], configs).shares for _ in range(2)]
    assert losses[0] == losses[1]
    assert optuna.logging.get_verbosity() == before


def test_nothing_is_divided_where_that_would_mislead() -> None:
    few = [{"rank": 1, "lr": 1e-3}, {"rank": 10, "lr": 1e-3}, {"rank": 10, "lr": 1e-2}]
    assert f"takes {FEWEST_ARMS} arms or more" in shared(lambda c: c["lr"], few).note
    assert "two factors" in shared(lambda c: c["rank"], grid(rank=[1, 10])).note
    assert "does not vary" in shared(lambda c: 2.0, grid(rank=[1, 10], lr=[1e-3, 1e-2])).note
    windows = grid(rank=[1, 10], lr=[1e-3, 1e-2], test_windows=[4, 8])
    assert "different windows" in shared(lambda c: c["lr"], windows).note
    assert not shared(lambda c: c["lr"], windows).shares


def test_seeds_that_not_all_arms_have_are_left_out_of_a_grid() -> None:
    configs = [*grid(rank=[1, 10], lr=[1e-3, 1e-2], seed=[1, 2]), {"rank": 1, "lr": 1e-3, "seed": 3}]
    found = shared(lambda c: c["rank"] + 100.0 * (c["seed"] == 3), configs)
    assert found.what == "last test loss of 4 arms × 2 seeds"
    assert found.shares["rank"] == pytest.approx(1)
    assert "seeds that all arms share" in found.note


def test_two_numbers_drawn_at_random_are_two_factors_however_many_arms_there_are() -> None:
    draw = random.Random(0)
    configs = [{"lr": 10 ** draw.uniform(-5, -2), "weight_decay": draw.uniform(0, 0.2), "seed": 0} for _ in range(60)]
    found = shared(lambda c: 2 + (math.log10(c["lr"]) + 3) ** 2, [FULL | config for config in configs])
    assert found.shares["lr"] > 0.9
    assert found.shares["weight_decay"] < 0.05


def test_numbers_that_order_the_arms_alike_are_one_factor() -> None:
    configs = [FULL | {"lr": 1e-4 * (n + 1), "weight_decay": 0.1 - 0.01 * n, "seed": 0} for n in range(6)]
    assert list(factor_levels(group_arms(planted(lambda c: c["lr"], configs)))) == ["lr and weight_decay"]


def test_too_many_values_without_an_order_are_divided_by_no_forest() -> None:
    configs = [FULL | {"betas": [0.9, 0.9 + n / 1000], "lr": 1e-4 * (1 + n % 7), "seed": 0} for n in range(40)]
    found = shared(lambda c: c["lr"], configs)
    assert not found.shares
    assert "betas has 40 different values, and a forest (fANOVA) takes 24 at most" in found.note
