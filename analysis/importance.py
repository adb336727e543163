"""How the variance of a loss divides among the factors: exactly for a full grid, by a forest for other designs."""

import math
from collections.abc import Collection
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator
from scipy import stats

from analysis.arms import Arm
from analysis.comparisons import WINDOW_FIELDS, windows
from analysis.effects import OWNER
from analysis.outcomes import finite
from analysis.results import show_field
from analysis.tables import varying_fields
from sweep.names import METRIC

FEWEST_ARMS = 16
"""Arms below which a forest cannot tell factors apart: about four values of each of three or four factors."""
LOG_RATIO = 10
"""Numbers that span at least this ratio are taken on a logarithmic scale."""
COARSE_TRIALS = 100
"""Trials below which the shares of a forest are only an order."""
FOREST_SEED = 0
RANGES = "A factor that was tried over a wider range takes a larger share."
SEEDS = "seeds"
TOGETHER = "interactions of three or more"
REST = "interactions and rest"


class Importance(NamedTuple):
    """How the variance of a metric divides.

    Attributes:
        what: what varies, and over how many arms.
        test: how it was computed: "ANOVA" or "fANOVA"; empty where it was not.
        shares: share of the variance by source, adding up to 1; empty where it was not computed.
        p_values: of the F test of a source; only for a full grid with two or more seeds.
        note: how to read it, or why there is none.
    """

    what: str
    test: str
    shares: dict[str, float]
    p_values: dict[str, float]
    note: str


def share_of_variance(arms: list[Arm], metric: str, ignored: Collection[str] = ()) -> Importance:
    """Divide the variance of a metric among the factors.

    Args:
        arms: finished arms.
        metric: the loss, as in `Results.trials`.
        ignored: fields that are no factors, as those tuned for each arm.

    Returns:
        Eta squared of each factor and of each pair of factors where the arms are a full grid, and the functional
        ANOVA of a random forest where they are not and there are enough of them.

    Sources: Fisher, "Statistical Methods for Research Workers" (1925), for the randomised block; Hutter, Hoos and
    Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML (2014), as Optuna implements it.
    """
    what = f"last {METRIC[metric].name.replace('_', ' ')}"
    factors = factor_levels(arms, ignored)
    if len({windows(arm) for arm in arms}) > 1:
        return _none(what, "the arms are evaluated on different windows")
    if len(factors) < 2:
        return _none(what, "there is nothing to divide unless two factors vary")
    if (losses := _grid(arms, factors, metric)) is not None:
        found = _anova(what, list(factors), losses)
        lost = sum(len(arm.by_seed(metric)) for arm in arms) - losses.size
        more = f" Only the seeds that all arms share count; {lost} trials of others are left out." if lost else ""
        return found._replace(note=found.note + more)
    if len(arms) < FEWEST_ARMS:
        why = f"the {len(arms)} finished arms are no full grid of {', '.join(factors)}, and a forest (fANOVA) takes"
        return _none(what, f"{why} {FEWEST_ARMS} arms or more")
    return _fanova(what, arms, factors, metric)


def factor_levels(arms: list[Arm], ignored: Collection[str] = ()) -> dict[str, list[Any]]:
    """The value of each factor in each arm, such that every factor has one in every arm.

    Fields that not every method or optimizer has are joined to it: "method and rank" has the levels "full", "lora 1"
    and "lora 10". Factors that always change together are joined too, since no data can tell them apart.

    Args:
        arms: the arms.
        ignored: fields that are no factors.

    Returns:
        One value per arm by name of the factor.
    """
    names = [name for name in varying_fields(arms) if name not in (*ignored, *WINDOW_FIELDS)]
    joined: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        owned = [other for other in names if OWNER.get(other) == name]
        if OWNER.get(name) not in names:
            joined.setdefault(_partition(arms, [name, *owned]), []).extend([name, *owned])
    factors: dict[str, list[Any]] = {}
    for fields in joined.values():
        needed = list(fields[:1])
        for field in fields[1:]:  # a momentum that goes with the optimizer is no choice of its own
            if OWNER.get(field) not in needed or _partition(arms, [*needed, field]) != _partition(arms, needed):
                needed.append(field)
        name = f"{', '.join(needed[:-1])} and {needed[-1]}" if len(needed) > 1 else needed[0]
        factors[name] = _values(arms, needed)
    return factors


def _values(arms: list[Arm], fields: list[str]) -> list[Any]:
    if len(fields) == 1:
        values = [arm.config.get(fields[0]) for arm in arms]
        return values if all(map(finite, values)) else [show_field(value, 17) for value in values]
    present = [[arm.config[name] for name in fields if arm.config.get(name) is not None] for arm in arms]
    return [" ".join(show_field(value, 17) for value in values) for values in present]


def _partition(arms: list[Arm], fields: list[str]) -> tuple[int, ...]:
    """Which arms agree in these fields: arms of one number do."""
    seen: dict[str, int] = {}
    return tuple(seen.setdefault(repr([arm.config.get(name) for name in fields]), len(seen)) for arm in arms)


def _grid(arms: list[Arm], factors: dict[str, list[Any]], metric: str) -> np.ndarray | None:
    """Losses with an axis per factor and a last one of the seeds that all arms have; None where a cell is empty."""
    levels = [list(dict.fromkeys(values)) for values in factors.values()]
    cells = list(zip(*factors.values(), strict=True))
    by_seed = [arm.by_seed(metric) for arm in arms]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    if len(set(cells)) < len(cells) or len(cells) < math.prod(map(len, levels)) or not seeds:
        return None
    losses = np.empty([*map(len, levels), len(seeds)])
    for cell, values in zip(cells, by_seed, strict=True):
        place = tuple(known.index(value) for known, value in zip(levels, cell, strict=True))
        losses[place] = [values[seed] for seed in seeds]
    return losses


def _anova(what: str, names: list[str], losses: np.ndarray) -> Importance:
    """Sums of squares of main effects and two-way interactions, as shares of the total; seeds are blocks.

    Args:
        what: what varies.
        names: the factors, one per axis of `losses` but the last.
        losses: nats/token, one axis per factor and a last one of seeds.
    """
    axes, seeds = range(len(names)), losses.shape[-1]
    centred = losses - losses.mean()
    total = float((centred**2).sum())
    if total <= (1e-12 * float(np.abs(losses).max())) ** 2 * losses.size:
        return _none(what, "it does not vary")
    squares, freedom = {}, {}
    for axis in axes:
        squares[names[axis]] = _between(centred, (axis,))
        freedom[names[axis]] = losses.shape[axis] - 1
    for a, b in combinations(axes, 2):
        pair = f"{names[a]} × {names[b]}"
        squares[pair] = _between(centred, (a, b)) - squares[names[a]] - squares[names[b]]
        freedom[pair] = freedom[names[a]] * freedom[names[b]]
    between_arms = _between(centred, tuple(axes))
    if len(names) > 2:
        squares[TOGETHER] = between_arms - sum(squares.values())
    shares = {name: max(0.0, value / total) for name, value in squares.items()}
    arms = losses.size // seeds
    notes = ["Sums of squares over a full grid as shares of their total (eta squared).", RANGES]
    p_values: dict[str, float] = {}
    if seeds == 1:
        notes.append("With one seed per arm, what a seed does is part of the interactions, and no F test can be made.")
    else:
        shares[SEEDS] = max(0.0, 1 - between_arms / total)
        error, degrees = total - between_arms - _between(centred, (len(names),)), (arms - 1) * (seeds - 1)
        if error > 1e-12 * total:  # otherwise there is no spread to judge by
            ratios = {name: squares[name] / freedom[name] / (error / degrees) for name in freedom}
            p_values = {name: float(stats.f.sf(ratio, freedom[name], degrees)) for name, ratio in ratios.items()}
            notes.append("p is of the F test with seeds as blocks, not adjusted for the number of rows.")
    what = f"{what} of {arms} arms × {seeds} seed{'s' * (seeds > 1)}"
    return Importance(what, "ANOVA", shares, p_values, " ".join(notes))


def _between(centred: np.ndarray, kept: tuple[int, ...]) -> float:
    """Sum of squares of the means over all axes but those kept, counted once per loss."""
    others = tuple(axis for axis in range(centred.ndim) if axis not in kept)
    means = centred.mean(axis=others)
    return float((means**2).sum() * centred.size / means.size)


def _fanova(what: str, arms: list[Arm], factors: dict[str, list[Any]], metric: str) -> Importance:
    distributions: dict[str, BaseDistribution] = {}
    columns: dict[str, list[Any]] = {}
    for name, values in factors.items():
        columns[name] = _scaled(values)
        numbers = all(map(finite, values))
        distributions[name] = (
            FloatDistribution(min(columns[name]), max(columns[name]))
            if numbers
            else CategoricalDistribution(list(dict.fromkeys(values)))
        )
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    optuna.logging.set_verbosity(verbosity)
    for number, arm in enumerate(arms):
        params = {name: column[number] for name, column in columns.items()}
        for loss in arm.by_seed(metric).values():
            study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=loss))
    trials = len(study.trials)
    try:
        found = FanovaImportanceEvaluator(seed=FOREST_SEED).evaluate(study)
    except RuntimeError:  # its forest is flat
        return _none(what, "it does not vary")
    shares = {name: float(found[name]) for name in factors}
    shares[REST] = max(0.0, 1 - sum(shares.values()))
    note = (
        f"The arms are no full grid, so a random forest was fitted to {trials} trials and its variance over the ranges "
        f"tried was divided (fANOVA, Optuna). {RANGES}"
    )
    if trials < COARSE_TRIALS:
        note += " With so few trials this is coarse: read the order, not the digits."
    return Importance(f"{what} of {trials} trials", "fANOVA", shares, {}, note)


def _scaled(values: list[Any]) -> list[Any]:
    """Numbers of a wide range as log10: Optuna's fANOVA takes every range as linear, whatever its distribution says."""
    wide = all(finite(value) and value > 0 for value in values) and max(values) / min(values) >= LOG_RATIO
    return [math.log10(value) for value in values] if wide else values


def _none(what: str, why: str) -> Importance:
    return Importance(what, "", {}, {}, f"The variance of {what} was not divided among the factors: {why}.")
