"""Pairs of arms that differ in one field, averaged over their contexts within every seed and every window or prompt."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.base_models import several_base_models
from analysis.comparison.fields import windows
from analysis.comparison.pair_tests import reward_test
from analysis.comparison.told_apart import LossDifference, SeedLosses, loss_difference
from analysis.statistics.difference_tests import mean_test
from analysis.statistics.intervals import Interval, Values

ContextPairs = list[tuple[Arm, Arm]]
"""Pairs of one context: arms that agree in all other fields, the first with the level that a difference starts from."""
NO_INTERVAL = Interval(math.nan, math.nan, math.nan)


def seeds_in_common(
    contexts: Sequence[ContextPairs], losses: Mapping[str, SeedLosses]
) -> tuple[list[ContextPairs], list[int]]:
    """The contexts to average, and the seeds that all their arms have.

    Where trials failed, a seed or a context has to be left out. Two seeds come first, without which nothing is told of
    arms; then as many contexts as possible; then as many seeds. No loss has a part in the choice.

    Args:
        contexts: the pairs of each context, at least one.
        losses: losses of each arm by label and seed.

    Returns:
        The contexts kept and their seeds, ascending; none where the arms of no context share a seed.
    """
    shared = [set.intersection(*(set(losses[arm.label]) for arm in arms_of(pairs))) for pairs in contexts]
    best: tuple[list[ContextPairs], list[int]] = ([], [])
    for seeds in (set.intersection(*shared), *shared):
        kept = [pairs for pairs, own in zip(contexts, shared, strict=True) if seeds and seeds <= own]
        if (min(len(seeds), 2), len(kept), len(seeds)) > (min(len(best[1]), 2), len(best[0]), len(best[1])):
            best = (kept, sorted(seeds))
    return best


def loss_effect(
    contexts: Sequence[ContextPairs], losses: Mapping[str, SeedLosses], seeds: Sequence[int]
) -> tuple[float, LossDifference | None]:
    """How far the second level lies above the first in test loss, as a mean over the contexts.

    Args:
        contexts: the pairs of each context.
        losses: losses of each arm by label and seed.
        seeds: seeds that all these arms have.

    Returns:
        The mean difference in the unit that the arms are compared in, and the test that two arms get; None where
        nothing permits one. Windows are no part of the test where contexts are tested on different ones, or where a
        trial kept no losses by window.
    """
    arms = [arm for pairs in contexts for arm in arms_of(pairs)]
    lengths = {len(losses[arm.label][seed]) for arm in arms for seed in seeds}
    by_window = len(lengths) == 1 and len({windows(arm) for arm in arms}) == 1
    tables = {
        arm.label: np.array(
            [losses[arm.label][seed] if by_window else [losses[arm.label][seed].mean()] for seed in seeds]
        )
        for arm in arms
    }
    low, high = (dict(zip(seeds, _averaged(contexts, tables, side), strict=True)) for side in (0, 1))
    difference = float(np.mean([high[seed] - low[seed] for seed in seeds]))
    return difference, loss_difference(high, low) if on_same_rows(contexts) else None


def on_same_rows(contexts: Sequence[ContextPairs]) -> bool:
    """Whether the arms of each pair are tested on the same rows, without which no test compares their losses."""
    return all(windows(a) == windows(b) for pairs in contexts for a, b in pairs)


def reward_effects(contexts: Sequence[ContextPairs], seeds: Sequence[int]) -> tuple[Interval, Interval]:
    """The same for the win rate and for the mean reward margin, by the test of rewards that two arms get.

    Args:
        contexts: the pairs of each context.
        seeds: seeds that all these arms have.

    Returns:
        The differences with plain 95 % intervals over seeds and prompts; over seeds alone where responses are lost,
        and NaN without rewards. NaN too from one base model to another, since each arm is held against its own.
    """
    if any(several_base_models(pair) for pairs in contexts for pair in pairs):
        return NO_INTERVAL, NO_INTERVAL
    arms = {arm.label: arm for pairs in contexts for arm in arms_of(pairs)}
    if all(set(seeds) <= set(arm.seed_margins.columns) for arm in arms.values()):
        tables = {label: arm.seed_margins[list(seeds)] for label, arm in arms.items()}
        prompts = next(iter(tables.values())).index
        if any(not table.index.equals(prompts) for table in tables.values()):
            prompts = pd.concat(tables, axis=1).index
        aligned = np.array([table.reindex(prompts).to_numpy(dtype=float).T for table in tables.values()])
        margins = dict(zip(tables, aligned[..., ~np.isnan(aligned).any(axis=(0, 1))], strict=True))
        wins = {label: (table > 0).astype(float) for label, table in margins.items()}
    else:
        wins, margins = ({label: _by_seed(arm, name, seeds) for label, arm in arms.items()}
                         for name in ("win_rate", "reward_margin_mean"))  # fmt: skip
    return _interval(contexts, wins), _interval(contexts, margins)


def arms_of(pairs: ContextPairs) -> list[Arm]:
    """Both arms of every pair."""
    return [arm for pair in pairs for arm in pair]


def _by_seed(arm: Arm, name: str, seeds: Sequence[int]) -> Values:
    """(seeds, 1) values of a metric; NaN where a trial has none."""
    values = arm.by_seed(name)
    return np.array([[values.get(seed, math.nan)] for seed in seeds])


def _averaged(contexts: Sequence[ContextPairs], tables: Mapping[str, Values], side: int) -> Values:
    """(seeds, cases) mean of one side's arms over the pairs of each context, then over the contexts."""
    of_context = [_mean([tables[pair[side].label] for pair in pairs]) for pairs in contexts]
    return _mean(of_context)


def _mean(tables: Sequence[Values]) -> Values:
    """The mean of arrays of one shape; of one array itself, for which numpy takes long."""
    return tables[0] if len(tables) == 1 else np.asarray(np.mean(tables, axis=0))


def _interval(contexts: Sequence[ContextPairs], tables: Mapping[str, Values]) -> Interval:
    differences = _averaged(contexts, tables, 1) - _averaged(contexts, tables, 0)
    if not differences.size or not np.isfinite(differences).all():
        return NO_INTERVAL
    if differences.shape[1] == 1:
        return Interval(*mean_test(differences[:, 0])[:3])
    return Interval(*reward_test(differences)[0][:3])
