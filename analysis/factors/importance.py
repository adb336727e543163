"""How the variance of a loss divides among the factors: exactly for a full grid, by a forest for other designs."""

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from analysis.comparison.arms import WINDOW_FIELDS, Arm
from analysis.comparison.fields import OWNER, varying_fields, windows
from analysis.comparison.loss_metric import by_text, metric_of
from analysis.factors.forest import REST, SHUFFLES, divide_by_forest, drawn_arms
from analysis.results.outcomes import finite
from analysis.statistics.anova import SEEDS, TOGETHER, Division, divide_grid
from analysis.statistics.intervals import Values
from analysis.statistics.multiple_tests import holm
from analysis.wording.phrases import count
from analysis.wording.values import show_field
from basis.metrics import METRIC

MOST_LEVELS = 24
"""Values of a factor that has no order: the time of a forest grows with a power of their number."""
FEWEST_ARMS = 16
"""Arms below which a forest cannot tell factors apart: about four values of each of three or four factors."""
COARSE_TRIALS = 100
"""Trials below which the shares of a forest are only an order."""
RANGES = "A factor that was tried over a wider range takes a larger share."
NO_FACTORS = (SEEDS, TOGETHER, REST)
"""Sources that are no factor and no interaction of two."""


class Importance(NamedTuple):
    """How the variance of a metric divides.

    Attributes:
        what: what varies, and over how many arms.
        test: how it was computed: "ANOVA" or "fANOVA"; empty where it was not.
        shares: share of the variance by source, adding up to 1; empty where it was not computed.
        noise: the share that a source without effect would have on average.
        p_values: by source, of "it has no effect"; sources that could not be tested have none.
        method: name of the test behind the p-values, and what it speaks of; without any, why there is none.
        over_seeds: whether the test takes in the choice of seeds, without which it speaks of the trained models alone.
        note: how to read it, or why there is none.
    """

    what: str
    test: str
    shares: dict[str, float]
    noise: dict[str, float]
    p_values: dict[str, float]
    method: str
    over_seeds: bool
    note: str


def shares_of_variance(
    arms: list[Arm], tried: list[Arm], tuned: Collection[str], guided: bool, looks: int
) -> list[Importance]:
    """The divisions that a report shows, their p-values adjusted.

    Args:
        arms: finished arms.
        tried: finished tuning trials, as arms.
        tuned: fields that were tuned for each arm.
        guided: whether a search chose settings by earlier losses.
        looks: see `choices.looks_at`.

    Returns:
        That of all arms; where these are no full grid, that of each method whose arms are one; that of tuning trials.
    """
    shares = [share_of_variance(arms, metric_of(arms), tuned, guided)]
    methods = dict.fromkeys(str(arm.config.get("method")) for arm in arms)
    if shares[0].test != "ANOVA" and len(methods) > 1:
        for method in methods:
            own = [arm for arm in arms if arm.config.get("method") == method]
            alone = share_of_variance(own, metric_of(arms), tuned)
            if alone.test == "ANOVA":
                shares.append(alone._replace(what=f"{alone.what}, {method} alone"))
    if tried:
        shares.append(share_of_variance(tried, "validation_loss"))
    return adjusted_shares(shares, looks)


def share_of_variance(arms: list[Arm], metric: str, ignored: Collection[str] = (), guided: bool = False) -> Importance:
    """Divide the variance of a metric among the factors.

    Args:
        arms: finished arms.
        metric: the loss, as in `Results.trials`.
        ignored: fields that are no factors, as those tuned for each arm.
        guided: whether a search chose settings by earlier losses, as Optuna's does.

    Returns:
        Eta squared of each factor and of each pair of factors where the arms are a full grid, and the functional
        ANOVA of a random forest where they are not and there are enough of them; see `anova` and `forest`.
    """
    what = f"last {METRIC[metric].name.replace('_', ' ')}"
    factors = factor_levels(arms, ignored)
    if metric == "validation_loss" and by_text(arms):
        return _none(what, "it is in nats per token of several tokenizers")
    if len({windows(arm) for arm in arms}) > 1:
        return _none(what, "the arms are evaluated on different windows")
    if len(factors) < 2:
        return _none(what, "there is nothing to divide unless two factors vary")
    if (losses := _grid(arms, factors, metric)) is not None:
        lost = sum(len(arm.by_seed(metric)) for arm in arms) - losses[..., 0].size
        return _of_grid(what, divide_grid(list(factors), losses), losses.shape, lost)
    if len(arms) < FEWEST_ARMS:
        why = f"the {len(arms)} finished arms are no full grid of {', '.join(factors)}, and a forest (fANOVA) takes"
        return _none(what, f"{why} {FEWEST_ARMS} arms or more")
    for name, column in factors.items():
        if not all(map(finite, column)) and (levels := len(set(column))) > MOST_LEVELS:
            return _none(
                what, f"{name} has {levels} different values, and a forest (fANOVA) takes {MOST_LEVELS} at most"
            )
    values = [list(arm.by_seed(metric).values()) for arm in arms]
    return _of_forest(what, divide_by_forest(factors, values, guided), values)


def adjusted_shares(shares: list[Importance], looks: int) -> list[Importance]:
    """The same with p-values adjusted by Holm's method for all sources of all divisions, which are one family.

    Args:
        shares: the divisions that a report shows.
        looks: see `choices.looks_at`.
    """
    places = [(number, name) for number, share in enumerate(shares) for name in share.p_values]
    p_values = dict(zip(places, holm([shares[number].p_values[name] for number, name in places], looks), strict=True))
    return [
        share._replace(p_values={name: p_values[number, name] for name in share.p_values})
        for number, share in enumerate(shares)
    ]


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
    joined: dict[tuple[float, ...], list[str]] = {}
    for name in names:
        owned = [other for other in names if OWNER.get(other) == name]
        if OWNER.get(name) not in names:
            joined.setdefault(_changes(arms, [name, *owned]), []).extend([name, *owned])
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


def _changes(arms: list[Arm], fields: list[str]) -> tuple[float, ...]:
    """How these fields change from arm to arm; those that change alike can't be told apart.

    A number that is another one in every arm, as a rate drawn at random is, goes together with another such number only
    where one orders the arms as the other does, or the other way round.
    """
    values = [arm.config.get(fields[0]) for arm in arms]
    if len(fields) > 1 or len(set(map(repr, values))) < len(arms) or not all(map(finite, values)):
        return _partition(arms, fields)
    ranks = [float(rank) for rank in np.argsort(np.argsort(np.asarray(values, dtype=float)))]
    return min(tuple(ranks), tuple(len(arms) - 1 - rank for rank in ranks))


def _grid(arms: list[Arm], factors: dict[str, list[Any]], metric: str) -> Values | None:
    """The losses of a full grid, by factors, seed and window.

    Returns:
        (levels of each factor, seeds that all arms have, windows) in the unit of the metric; one window where the means
        alone are known. None where a cell of the grid is empty.
    """
    levels = [list(dict.fromkeys(values)) for values in factors.values()]
    cells = list(zip(*factors.values(), strict=True))
    by_seed = [arm.losses_by_seed if metric == arm.loss_metric else _means(arm, metric) for arm in arms]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    if len(set(cells)) < len(cells) or len(cells) < math.prod(map(len, levels)) or not seeds:
        return None
    lengths = {len(values[seed]) for values in by_seed for seed in seeds}
    losses = np.empty([*map(len, levels), len(seeds), lengths.pop() if len(lengths) == 1 else 1])
    for cell, values in zip(cells, by_seed, strict=True):
        place = tuple(known.index(value) for known, value in zip(levels, cell, strict=True))
        losses[place] = [values[seed] if not lengths else [values[seed].mean()] for seed in seeds]
    return losses


def _means(arm: Arm, metric: str) -> dict[int, Values]:
    return {seed: np.array([value]) for seed, value in arm.by_seed(metric).items()}


def _of_grid(what: str, division: Division | None, shape: Sequence[int], lost: int) -> Importance:
    """What the division of a grid is called, and how it is to be read."""
    if division is None:
        return _none(what, "it does not vary")
    *levels, seeds, cases = shape
    notes = ["Sums of squares over a full grid as shares of their total (eta squared).", RANGES]
    method = division.unjudged
    if division.p_values:
        sample = (
            f"{count(seeds, 'seed')} and {cases} windows" if cases > 1 else f"{seeds} seeds, for these test windows"
        )
        method = f"F test over {sample}"
        notes.append(
            "Noise is the share that a source without effect would have, as far as seeds"
            f"{' and windows' if cases > 1 else ''} move it; p is of the F test of the source against that noise."
        )
    elif seeds == 1:
        notes.append(
            "With one seed per arm, what a seed does is part of every source: no F test can be made, and noise is the "
            "share that losses dealt out at random would give."
        )
    if lost:
        notes.append(f"Only the seeds that all arms share count; {lost} trials of others are left out.")
    what = f"{what} of {math.prod(levels)} arms × {count(seeds, 'seed')}"
    return Importance(
        what,
        "ANOVA",
        division.shares,
        division.noise,
        division.p_values,
        method,
        bool(division.p_values),
        " ".join(notes),
    )


def _of_forest(what: str, division: Division | None, losses: Sequence[Sequence[float]]) -> Importance:
    """What the division by a forest is called, and how it is to be read."""
    if division is None:
        return _none(what, "it does not vary")
    trials = sum(map(len, losses))
    fitted = sum(len(losses[arm]) for arm in drawn_arms(len(losses)))
    drawn = "" if fitted == trials else f", drawn at random from {trials:,},"
    notes = [
        f"The arms are no full grid, so a random forest was fitted to {fitted:,} trials{drawn} and its variance over "
        f"the ranges tried was divided (fANOVA, Optuna). {RANGES} Noise is the share in forests of losses shuffled "
        "among the arms."
    ]
    if trials < COARSE_TRIALS:
        notes.append("With so few trials this is coarse: read the order, not the digits.")
    if trials > len(losses):
        centred = [value - np.mean(values) for values in losses for value in values]
        total = float(np.var([value for values in losses for value in values]))
        notes.append(f"Seeds of one arm make up {100 * float(np.mean(np.square(centred))) / total:.1f} % of it.")
    if division.p_values:
        notes.append(
            f"p is of a permutation test ({SHUFFLES} shuffles) of the ranks of the levels' losses, numbers cut into "
            "four groups of equally many arms. It speaks of these trained models: what a level does in these seeds or "
            "on these windows alone counts as its effect."
        )
    if division.unjudged:
        notes.append(f"{'Of some factors no' if division.p_values else 'No'} test is made: {division.unjudged}.")
    method = "permutation test over arms" if division.p_values else division.unjudged
    return Importance(
        *(f"{what} of {trials} trials", "fANOVA", division.shares, division.noise, division.p_values, method, False),
        " ".join(notes),
    )


def _none(what: str, why: str) -> Importance:
    reason = f"The variance of {what} was not divided among the factors: {why}."
    return Importance(what, "", {}, {}, {}, "", False, reason)
