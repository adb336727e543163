"""The effect of one factor with all else equal: pairs of arms that differ in one field, trained on the same seeds."""

import math
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations, pairwise
from typing import NamedTuple

import pandas as pd

from analysis.arms import Arm
from analysis.columns import MISSING, show_interval
from analysis.comparisons import WINDOW_FIELDS
from analysis.phrases import holm_adjusted
from analysis.results import show_field
from analysis.statistics import ALPHA, Interval, holm, mean_test
from analysis.tables import DEPENDENT_FIELDS, varying_fields
from sweep.names import METRIC

OWNER = {name: "optimizer" if name in ("momentum", "betas") else "method" for name in DEPENDENT_FIELDS}
"""Fields that are part of a method or of an optimizer; two methods or optimizers are compared each with its own."""

Pairs = list[tuple[Arm, Arm]]
NO_INTERVAL = Interval(math.nan, math.nan, math.nan)


class Effect(NamedTuple):
    """What changes from one level of a factor to another.

    Attributes:
        factor: the field.
        low: the level that a difference starts from, as text.
        high: the level that it leads to.
        contexts: settings of all other fields in which both levels were trained.
        trial_pairs: pairs of trials of the same seed.
        units: independent values that the interval is over: the contexts, or where there is one, its seeds.
        test_loss: mean difference of last test loss, `high` minus `low`, in nats/token, with its 95 % t interval.
        p_value: of the paired t test over the units, adjusted by Holm's method for all effects and for
            the looks at the data; NaN where untested.
        win_rate: the same difference of the win rate; NaN without rewards.
        reward_margin: the same difference of the mean reward margin; NaN without rewards.
    """

    factor: str
    low: str
    high: str
    contexts: int
    trial_pairs: int
    units: int
    test_loss: Interval
    p_value: float
    win_rate: Interval
    reward_margin: Interval

    @property
    def differs(self) -> bool:
        """Whether the test tells the effect from none."""
        return self.p_value < ALPHA

    @property
    def over(self) -> str:
        """What the interval is over, in words."""
        noun = "context" if self.contexts > 1 else "seed"
        return f"{self.units} {noun}{'' if self.units == 1 else 's'}"


def matched_effects(arms: list[Arm], ignored: Collection[str] = (), looks: int = 1) -> list[Effect]:
    """Compare the levels of each factor over pairs of arms that differ in that factor alone.

    A pair agrees in every other field that both arms have and in the seed; what belongs to a method or an optimizer
    (see OWNER) may differ where these do. Several pairs of one context are averaged first, so that it counts once.
    Seeds of one context are not independent of what the context is: with several contexts their means are the units.

    Args:
        arms: finished arms.
        ignored: fields that need not agree and are no factor, as those tuned for each arm.
        looks: see `comparisons.looks_at`.

    Returns:
        The effects by factor in the order of the config. Of a factor with numbers, each level is compared with the
        next one, and the lowest with the highest.
    """
    names = [name for name in varying_fields(arms) if name not in ignored]
    metrics = ("test_loss", "win_rate", "reward_margin_mean")
    values = {metric: {arm.label: arm.by_seed(metric) for arm in arms} for metric in metrics}
    effects = []
    for factor, contexts in _matched(arms, names).items():
        for (low, high), pairs in _by_levels(factor, contexts).items():
            loss, win_rate, margin = (_units(pairs, values[metric]) for metric in metrics)
            if not loss.values:
                continue
            test_loss, p_value = _difference(loss.values)
            effects.append(
                Effect(
                    *(factor, low, high, loss.contexts, loss.trial_pairs, len(loss.values), test_loss, p_value),
                    *(_difference(win_rate.values)[0], _difference(margin.values)[0]),
                )
            )
    adjusted = holm([effect.p_value for effect in effects], looks)
    made = [effect._replace(p_value=p_value) for effect, p_value in zip(effects, adjusted, strict=True)]
    return sorted(made, key=lambda effect: names.index(effect.factor))


def show_effects(effects: list[Effect]) -> pd.DataFrame:
    """The effects as printable strings, one row each; of tests and rewards only columns that say something."""
    frame = pd.DataFrame(
        [
            {
                "factor": effect.factor,
                "from": effect.low,
                "to": effect.high,
                "contexts": str(effect.contexts),
                "pairs of trials": str(effect.trial_pairs),
                f"test loss, {METRIC['test_loss'].unit}": show_interval(effect.test_loss, 4, signed=True),
                "interval over": effect.over if effect.test_loss.known else MISSING,
                "p": p_cell(effect.p_value),
                "win rate": show_interval(effect.win_rate, 2, signed=True),
                "reward margin": show_interval(effect.reward_margin, 2, signed=True),
            }
            for effect in effects
        ],
        dtype=str,
    )
    return frame.loc[:, [not (frame[name] == MISSING).all() for name in frame]]


def describe_effects(
    effects: list[Effect], arms: list[Arm], ignored: Collection[str] = (), looks: int = 1
) -> list[str]:
    """What the table of effects means, and which factors it cannot speak of.

    Args:
        effects: what `matched_effects` returned.
        arms: the finished arms that it was given.
        ignored: as it was given.
        looks: as it was given.

    Returns:
        Sentences.
    """
    notes = []
    if effects:
        notes.append(
            "Each row compares pairs of trials that differ in the factor alone and share the seed; a minus means that "
            "the level under 'to' has the lower value. A context is one setting of all other fields; what "
            "belongs to a method or an optimizer, such as a rank or betas, may differ where these do, and several such "
            "pairs are averaged within their context."
        )
    if any(effect.test_loss.known for effect in effects):
        notes.append(
            "Brackets hold plain 95 % intervals of Student's t over the means of the contexts, or over the seeds where "
            "there is one context; p is of the paired t test over the same values, "
            f"{holm_adjusted(sum(effect.p_value == effect.p_value for effect in effects), 'row', looks)}."
        )
    if any(not effect.test_loss.known for effect in effects):
        notes.append(
            "Rows without an interval rest on a single pair, or on pairs whose differences show no spread to judge by."
        )
    if ignored:
        notes.append(f"Pairs need not agree in what was tuned for each arm: {', '.join(ignored)}.")
    found = {effect.factor for effect in effects}
    lacking = [name for name in varying_fields(arms) if name not in (*found, *ignored, *WINDOW_FIELDS)]
    if lacking:
        notes.append(
            f"No matched pairs exist for {', '.join(lacking)}: no two finished arms differ in one of these alone and "
            "share a seed."
        )
    return notes


def p_cell(p_value: float) -> str:
    """A p-value with three decimals, or a dash where there is none."""
    return MISSING if math.isnan(p_value) else "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _matched(arms: list[Arm], names: list[str]) -> dict[str, dict[object, Pairs]]:
    """Pairs of arms that differ in one field alone, by that field and by the setting of the others."""
    found: dict[str, dict[object, Pairs]] = {}
    for a, b in combinations(arms, 2):
        differing = {name for name in names if repr(a.config.get(name)) != repr(b.config.get(name))}
        differing = {name for name in differing if OWNER.get(name) not in differing}
        if len(differing) == 1 and not differing & set(WINDOW_FIELDS):
            factor = differing.pop()
            context = tuple(repr(a.config.get(name)) for name in names if factor not in (name, OWNER.get(name)))
            found.setdefault(factor, {}).setdefault(context, []).append((a, b))
    return found


def _by_levels(factor: str, contexts: Mapping[object, Pairs]) -> dict[tuple[str, str], list[Pairs]]:
    """The contexts' pairs by the two levels that they compare, in the order of the levels."""
    level, order = _levels(factor, [arm for pairs in contexts.values() for pair in pairs for arm in pair])
    found: dict[tuple[str, str], list[Pairs]] = {}
    for pairs in contexts.values():
        shown: dict[tuple[str, str], Pairs] = {}
        for a, b in pairs:
            low, high = (a, b) if order[level[a.label]] < order[level[b.label]] else (b, a)
            shown.setdefault((level[low.label], level[high.label]), []).append((low, high))
        kept = set(_compared(sorted({name for names in shown for name in names}, key=order.__getitem__), order))
        for names in sorted(shown, key=lambda both: (order[both[0]], order[both[1]])):
            if names in kept:
                found.setdefault(names, []).append(shown[names])
    return found


def _levels(factor: str, arms: list[Arm]) -> tuple[dict[str, str], dict[str, tuple[float, int]]]:
    """The level of each arm as text, by label, and where each level comes: numbers by size, names as they appear."""
    values = {arm.label: arm.config.get(factor) for arm in arms}
    different = len(set(map(repr, values.values())))
    for digits in (3, 6, 17):  # no more than it takes to tell the levels apart
        level = {label: show_field(value, digits) for label, value in values.items()}
        if len(set(level.values())) == different:
            break
    order: dict[str, tuple[float, int]] = {}
    for label, value in values.items():
        number = float(value) if isinstance(value, (int, float)) else -math.inf
        order.setdefault(level[label], (number, len(order)))
    return level, order


def _compared(levels: list[str], order: Mapping[str, tuple[float, int]]) -> Iterator[tuple[str, str]]:
    """Which of these levels are compared: all pairs of names; of numbers the neighbours, and the two ends."""
    if all(math.isfinite(order[level][0]) for level in levels):
        yield from pairwise(levels)
        yield levels[0], levels[-1]
    else:
        yield from combinations(levels, 2)


class _Units(NamedTuple):
    """Independent values of both levels, and how many contexts and pairs of trials they come from."""

    values: list[tuple[float, float]]
    contexts: int
    trial_pairs: int


def _units(contexts: list[Pairs], by_seed: Mapping[str, Mapping[int, float]]) -> _Units:
    """A value of each level per context, or per seed where only one context has seeds that all its arms share."""
    found: list[list[tuple[float, float]]] = []
    trial_pairs = 0
    for pairs in contexts:
        seeds = set.intersection(*(set(by_seed[arm.label]) for pair in pairs for arm in pair))
        rows = [_mean([(by_seed[a.label][seed], by_seed[b.label][seed]) for a, b in pairs]) for seed in sorted(seeds)]
        if rows:
            found.append(rows)
            trial_pairs += len(pairs) * len(rows)
    if len(found) == 1:
        return _Units(found[0], 1, trial_pairs)
    return _Units([_mean(rows) for rows in found], len(found), trial_pairs)


def _mean(rows: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(low for low, _ in rows) / len(rows), sum(high for _, high in rows) / len(rows)


def _difference(values: list[tuple[float, float]]) -> tuple[Interval, float]:
    """Mean difference with its interval, and the p-value; neither interval nor p-value without any spread."""
    if not values:
        return NO_INTERVAL, math.nan
    test = mean_test([high - low for low, high in values])
    return Interval(test.estimate, test.low, test.high), test.p_value
