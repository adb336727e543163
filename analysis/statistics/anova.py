"""How the variance of a loss divides among the factors of a full grid, and which of them are told from noise."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from analysis.statistics.difference_tests import LOSS_ROUNDING, cochran_test
from analysis.statistics.intervals import Values

SEEDS = "seeds"
TOGETHER = "interactions of three or more"


class Division(NamedTuple):
    """Shares of a variance.

    Attributes:
        shares: share of the variance by source, adding up to 1.
        noise: the share that a source without any effect would have on average.
        p_values: by source, of "it has no effect"; not adjusted, and only for sources that could be tested.
        unjudged: why a source has no test, where some factor has none; empty otherwise.
    """

    shares: dict[str, float]
    noise: dict[str, float]
    p_values: dict[str, float]
    unjudged: str


def divide_grid(names: Sequence[str], losses: Values) -> Division | None:
    """Sums of squares of main effects and interactions as shares of their total (eta squared), seeds as replicates.

    Levels of a factor share seeds and windows in all their cells, so the noise of a source is not that of single
    trials: it is how much the source changes from seed to seed and from window to window. Its mean square is held
    against these, with both as samples, as `crossed_test` does for two arms, and with the fewest degrees of
    freedom that any correlation or unequal spread of the levels can leave.

    Args:
        names: the factors, one per axis of `losses` but the last two.
        losses: in one unit, by the factors' levels, seed and window; one window where the means alone are known.

    Returns:
        The shares; with one seed there is no test, and noise is what losses dealt out at random would give. None where
        losses do not vary by more than rounding.

    Sources: Fisher, "Statistical Methods for Research Workers" (1925); Geisser and Greenhouse, "An extension of Box's
    results on the use of the F distribution in multivariate analysis", Ann. Math. Statist. 29 (1958), for the degrees
    of freedom.
    """
    means = losses.mean(axis=-1)
    seeds, arms = means.shape[-1], means[..., 0].size
    if np.ptp(means) <= LOSS_ROUNDING * np.abs(means).max():
        return None
    total = float(((means - means.mean()) ** 2).sum())
    effects = _effects(names, losses)
    weight = {name: means.size / effect[..., 0, 0].size for name, effect in effects.items()}
    squares = {name: weight[name] * float((effect.mean(axis=(-2, -1)) ** 2).sum()) for name, effect in effects.items()}
    shares = {name: value / total for name, value in squares.items()}
    if seeds == 1:
        noise = {name: _freedom(name, names, losses.shape) / (arms - 1) for name in effects}
        return Division(shares, noise, {}, "one seed cannot tell a factor from noise")
    shares[SEEDS] = max(0.0, 1 - sum(shares.values()))
    noise, p_values = {}, {}
    for name, effect in effects.items():
        if np.abs(effect).max() <= LOSS_ROUNDING * np.abs(losses).max():
            noise[name], p_values[name] = 0.0, 1.0
            continue
        parts = _noise(effect)
        spread = sum(variance for variance, _ in parts)
        noise[name] = weight[name] * spread / total
        if spread > 1e-12 * float((effect**2).mean()) * effect[..., 0, 0].size:
            root = math.sqrt(float((effect.mean(axis=(-2, -1)) ** 2).sum()))
            p_values[name] = cochran_test(root, parts).p_value
    return Division(shares, noise, p_values, "" if p_values else "the differences between seeds show no spread")


def _effects(names: Sequence[str], losses: Values) -> dict[str, Values]:
    """What each source adds, by its own axes (others of length 1), seed and window."""
    factors = range(len(names))
    effects = {names[axis]: _contrast(losses, (axis,), len(names)) for axis in factors}
    for a, b in combinations(factors, 2):
        effects[f"{names[a]} × {names[b]}"] = _contrast(losses, (a, b), len(names))
    if len(names) > 2:
        cells = losses - losses.mean(axis=tuple(factors), keepdims=True)
        effects[TOGETHER] = np.asarray(cells - sum(effects.values()))
    return effects


def _contrast(losses: Values, kept: tuple[int, ...], factors: int) -> Values:
    """Means over all factors but those kept, without what fewer of these explain."""
    effect = losses.mean(axis=tuple(axis for axis in range(factors) if axis not in kept), keepdims=True)
    for axis in kept:
        effect = effect - effect.mean(axis=axis, keepdims=True)
    return np.asarray(effect)


def _noise(effect: Values) -> list[tuple[float, int]]:
    """Expected sum of squares of a source without effect: what seeds and what windows add to it, with their freedom."""
    seeds, cases = effect.shape[-2:]
    mean = effect.mean(axis=(-2, -1), keepdims=True)
    by_seed, by_case = effect.mean(axis=-1, keepdims=True), effect.mean(axis=-2, keepdims=True)
    of_seeds = float(((by_seed - mean) ** 2).sum()) / (seeds - 1) / seeds
    if cases == 1:
        return [(of_seeds, seeds - 1)]
    rest = float(((effect - by_seed - by_case + mean) ** 2).sum()) / ((seeds - 1) * (cases - 1))
    of_cases = float(((by_case - mean) ** 2).sum()) / (cases - 1) - rest / seeds
    return [(of_seeds, seeds - 1), (max(of_cases, 0.0) / cases, cases - 1)]


def _freedom(name: str, names: Sequence[str], shape: Sequence[int]) -> int:
    """Independent contrasts that a source consists of."""
    of_factor: Mapping[str, int] = {factor: levels - 1 for factor, levels in zip(names, shape, strict=False)}
    pairs = {f"{a} × {b}": of_factor[a] * of_factor[b] for a, b in combinations(names, 2)}
    known = {**of_factor, **pairs}
    return known.get(name, math.prod(shape[: len(names)]) - 1 - sum(known.values()))
