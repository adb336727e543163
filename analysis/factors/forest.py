"""How the variance of a loss divides among factors that form no grid: by a random forest, and a permutation test."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator
from scipy import stats

from analysis.results.outcomes import finite
from analysis.statistics.anova import Division
from analysis.statistics.intervals import Values

LOG_RATIO = 10
"""Numbers that span at least this ratio are taken on a logarithmic scale."""
FOREST_SEED = 0
REST = "interactions and rest"
TREES, SHUFFLED_FORESTS, SHUFFLED_TREES = 64, 4, 4
"""Trees of the forest, forests of shuffled losses, and their trees: a share is a mean over trees."""
FULL_SIZE = 250
"""Trials up to which the forest has all its trees; the trees of more trials vary less, and take longer."""
MOST_ARMS = 1000
"""Arms that forests are fitted to at most. More of them are drawn at random: shares of a variance are little helped by
more, and forests take minutes."""
SHUFFLES = 999
LEVELS = 4
"""Groups that a number with more values is cut into to be tested, of equally many arms."""
GO_TOGETHER = 0.01
"""Factors that a test of independence finds as dependent as this go together by design."""


def divide_by_forest(
    factors: Mapping[str, Sequence[Any]], losses: Sequence[Sequence[float]], guided: bool = False
) -> Division | None:
    """Functional ANOVA of a random forest, and a permutation test of each factor.

    Args:
        factors: one value per arm by name of the factor.
        losses: losses of each arm, one per seed.
        guided: whether settings were chosen by earlier losses, so that no shuffle is like the design.

    Returns:
        The shares, of MOST_ARMS arms at most; noise is the mean share in forests of losses shuffled among the arms. All
        arms are tested: a factor by how far
        the ranks of its levels' losses lie apart (Kruskal and Wallis), against the same after shuffles. That takes the
        arms' settings for drawn at random, so factors that go together with another one have no p-value. None where
        losses do not vary.

    Sources: Hutter, Hoos and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML
    (2014), as Optuna implements it; Edgington and Onghena, "Randomization Tests", 4th ed. (2007), section 4.
    """
    columns = {name: _scaled(values) for name, values in factors.items()}
    drawn = drawn_arms(len(losses))
    fitted = [losses[arm] for arm in drawn]
    study, arm_of = _study({name: [column[arm] for arm in drawn] for name, column in columns.items()}, fitted)
    if (shares := _shares(study, list(columns))) is None:
        return None
    rng = np.random.default_rng(FOREST_SEED)
    shuffled = [_shares(study, list(columns), _shuffled(fitted, arm_of, rng)) or {} for _ in range(SHUFFLED_FORESTS)]
    noise = {name: float(np.mean([one.get(name, 0.0) for one in shuffled])) for name in shares}
    if guided:
        return Division(shares, noise, {}, "the settings were chosen by earlier losses")
    p_values, together = shuffle_test(columns, [float(np.mean(values)) for values in losses], rng)
    return Division(shares, noise, p_values, f"{', '.join(together)} go together in this design" if together else "")


def drawn_arms(arms: int) -> list[int]:
    """The arms, by their numbers, that forests are fitted to: all, or of many some drawn at random."""
    if arms <= MOST_ARMS:
        return list(range(arms))
    return sorted(np.random.default_rng(FOREST_SEED).choice(arms, MOST_ARMS, replace=False).tolist())


def shuffle_test(
    columns: Mapping[str, Sequence[Any]], losses: Sequence[float], rng: np.random.Generator
) -> tuple[dict[str, float], list[str]]:
    """Test by shuffles which factors have to do with the losses of arms whose settings were drawn at random.

    Args:
        columns: one value per arm by name of the factor.
        losses: one per arm.
        rng: source of the shuffles.

    Returns:
        p-values, not adjusted, and the factors without one since they go together with another.
    """
    groups = {name: _groups(column) for name, column in columns.items()}
    pairs = [(a, b) for a, b in combinations(groups, 2) if _dependent(groups[a], groups[b])]
    together = [name for name in groups if any(name in pair for pair in pairs)]
    free = {name: group for name, group in groups.items() if name not in together}
    return _permutation_test(free, np.asarray(losses), rng), together


def _study(columns: Mapping[str, list[Any]], losses: Sequence[Sequence[float]]) -> tuple[optuna.Study, list[int]]:
    """All trials as Optuna's forest takes them, and the arm of each."""
    distributions: dict[str, BaseDistribution] = {
        name: FloatDistribution(min(column), max(column))
        if all(map(finite, column))
        else CategoricalDistribution(list(dict.fromkeys(column)))
        for name, column in columns.items()
    }
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    optuna.logging.set_verbosity(verbosity)
    arm_of = [arm for arm, values in enumerate(losses) for _ in values]
    for arm, loss in zip(arm_of, (loss for values in losses for loss in values), strict=True):
        params = {name: column[arm] for name, column in columns.items()}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=loss))
    return study, arm_of


def _shares(study: optuna.Study, names: list[str], losses: Values | None = None) -> dict[str, float] | None:
    """Share of each factor by a forest over all trials, and what is left; of shuffled losses where they are given."""
    trees = max(SHUFFLED_TREES * SHUFFLED_FORESTS, min(TREES, TREES * FULL_SIZE // len(study.trials)))
    evaluator = FanovaImportanceEvaluator(n_trees=trees if losses is None else SHUFFLED_TREES, seed=FOREST_SEED)
    target = None if losses is None else lambda trial: float(losses[trial.number])
    try:
        found = evaluator.evaluate(study, target=target)
    except RuntimeError:  # its forest is flat
        return None
    shares = {name: float(found[name]) for name in names}
    return {**shares, REST: max(0.0, 1 - sum(shares.values()))}


def _shuffled(losses: Sequence[Sequence[float]], arm_of: Sequence[int], rng: np.random.Generator) -> Values:
    """The losses by trial, dealt out anew among the arms; the seeds of an arm stay together."""
    order = rng.permutation(len(losses))
    place = {arm: arm_of.index(arm) for arm in set(arm_of)}
    return np.array([losses[order[arm]][(n - place[arm]) % len(losses[order[arm]])] for n, arm in enumerate(arm_of)])


def _scaled(values: Sequence[Any]) -> list[Any]:
    """Numbers of a wide range as log10: Optuna's fANOVA takes every range as linear, whatever its distribution says."""
    wide = all(finite(value) and value > 0 for value in values) and max(values) / min(values) >= LOG_RATIO
    return [math.log10(value) for value in values] if wide else list(values)


def _groups(column: Sequence[Any]) -> Values:
    """(levels, arms) which arms have which level, as ones and zeros."""
    different = list(dict.fromkeys(column))
    if len(different) > LEVELS and all(map(finite, column)):
        codes = (stats.rankdata(column, method="ordinal") - 1) * LEVELS // len(column)
    else:
        codes = np.array([different.index(value) for value in column])
    return np.array([codes == level for level in np.unique(codes)], dtype=float)


def _dependent(a: Values, b: Values) -> bool:
    """Whether two factors are no independent choices in this design."""
    return bool(stats.chi2_contingency(a @ b.T, correction=False).pvalue < GO_TOGETHER)


def _permutation_test(groups: Mapping[str, Values], losses: Values, rng: np.random.Generator) -> dict[str, float]:
    """p-value of each factor: the share of shuffles in which its levels' mean ranks lie as far apart."""
    ranks = stats.rankdata(losses) - (len(losses) + 1) / 2
    shuffles = np.vstack([ranks, rng.permuted(np.tile(ranks, (SHUFFLES, 1)), axis=1)])
    p_values = {}
    for name, members in groups.items():
        apart = ((shuffles @ members.T) ** 2 / members.sum(axis=1)).sum(axis=1)
        p_values[name] = float((apart >= apart[0] * (1 - 1e-12)).mean())
    return p_values
