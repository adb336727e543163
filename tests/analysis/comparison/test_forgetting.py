"""Forgetting is the paired test of the loss on general text, after training against before."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.comparison.forgetting import Forgetting, measure_forgetting
from analysis.comparison.grouping import group_arms
from analysis.results.experiment import Results
from tests import synthetic_experiment as synthetic

FORGETS, KEEPS = "lora r1 adamw", "lora r10 adamw"


def results_of(seeds: int, **rises: float) -> Results:
    changes = [{"rank": rank, "seed": seed} for rank in (1, 10) for seed in range(seeds)]
    return synthetic.with_general_losses(synthetic.in_memory(*changes), {FORGETS: 0.2, KEEPS: 0.0, **rises})


def by_label(results: Results) -> dict[str, Forgetting]:
    return {one.arm.label: one for one in measure_forgetting(group_arms(results), 1)}


def test_one_seed_is_tested_over_windows() -> None:
    results = results_of(seeds=1)
    rows = results.general_losses[results.general_losses["arm"] == FORGETS]
    expected = stats.ttest_rel(rows["general_loss"], rows["general_loss_base"])
    one = by_label(results)[FORGETS]
    assert one.rise.estimate == pytest.approx(0.2)
    low, high = expected.confidence_interval(0.95)
    assert (one.rise.low, one.rise.high) == pytest.approx((low, high))
    assert one.p_value == pytest.approx(2 * expected.pvalue)  # Holm, of two arms
    assert one.difference is not None
    assert (one.difference.windows, one.difference.over_seeds) == (40, False)


def test_several_seeds_and_windows_are_both_samples_and_no_change_is_told_from_none() -> None:
    forgotten = by_label(results_of(seeds=3))
    assert forgotten[FORGETS].told
    assert not forgotten[KEEPS].told
    difference = forgotten[FORGETS].difference
    assert difference is not None
    assert (difference.seeds, difference.windows, difference.over_seeds) == (3, 40, True)


def test_without_losses_by_window_seeds_alone_can_tell() -> None:
    rises = [0.1, 0.2, 0.3]
    several = replace(results_of(seeds=3), general_losses=results_of(seeds=1).general_losses.iloc[:0])
    trials = several.trials.copy()
    trials.loc[trials["arm"] == FORGETS, "forgetting"] = rises
    one = by_label(replace(several, trials=trials))[FORGETS]
    assert one.rise.estimate == pytest.approx(np.mean(rises))
    assert one.p_value == pytest.approx(2 * stats.ttest_1samp(rises, 0).pvalue)  # Holm, of two arms
    single = results_of(seeds=1)
    alone = by_label(replace(single, general_losses=single.general_losses.iloc[:0]))[FORGETS]
    assert (alone.difference, alone.rise.estimate) == (None, pytest.approx(0.2))
    assert math.isnan(alone.rise.low)


def test_arms_that_measured_nothing_have_none() -> None:
    assert measure_forgetting(group_arms(synthetic.in_memory({"seed": 0})), 1) == []
    results = results_of(seeds=1)
    trials = results.trials.copy()
    trials.loc[trials["arm"] == KEEPS, ["forgetting", "general_loss"]] = pd.NA
    assert by_label(replace(results, trials=trials)).keys() == {FORGETS}
