"""An arm's curve is the mean of its seeds within the band they lie in."""

import math

import pandas as pd

from analysis.curves.arm_curve import arm_curves


def rows(trial: str, losses: list[float]) -> pd.DataFrame:
    steps = range(0, 10 * len(losses), 10)
    return pd.DataFrame(
        {"arm": "full", "trial": trial, "step": steps, "test_loss": losses, "train_seconds": [s / 10 for s in steps]}
    )


def test_seeds_are_averaged_step_by_step_and_their_number_is_told() -> None:
    [curve] = arm_curves(pd.concat([rows("a", [4.0, 3.0, 1.0]), rows("b", [4.0, 2.0])]), "test_loss")
    assert (curve.step, curve.mean, curve.seeds) == ([0, 10, 20], [4.0, 2.5, 1.0], [2, 2, 1])
    assert (curve.low[1], curve.high[1], curve.seconds) == (2.0, 3.0, [0.0, 1.0, 2.0])
    assert all(map(math.isnan, curve.tokens))


def test_a_diverged_trial_ends_where_its_loss_was_a_number_last() -> None:
    [curve] = arm_curves(rows("a", [4.0, 3.0, math.inf, math.nan]), "test_loss")
    assert curve.step == [0, 10]


def test_a_long_curve_keeps_its_ends() -> None:
    [curve] = arm_curves(rows("a", [1000.0 - step for step in range(1000)]), "test_loss", most_points=50)
    assert 25 <= len(curve.step) <= 50
    assert (curve.step[0], curve.step[-1]) == (0, 9990)


def test_a_long_curve_that_grows_keeps_its_points() -> None:
    losses = [1000.0 - step for step in range(1000)]
    [before], [after] = (arm_curves(rows("a", losses[:end]), "test_loss", most_points=50) for end in (800, 1000))
    assert after.step[: len(before.step) - 1] == before.step[:-1]


def test_a_metric_that_nobody_has_makes_no_curve() -> None:
    assert arm_curves(rows("a", [1.0]), "win_rate") == []
