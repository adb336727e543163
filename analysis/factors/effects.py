"""The effect of one factor with all else equal: pairs of arms that differ in one field, trained on the same seeds."""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product

from analysis.comparison.arms import WINDOW_FIELDS, Arm
from analysis.comparison.fields import OWNER, varying_fields
from analysis.comparison.told_apart import SeedLosses
from analysis.factors.matched import (
    NO_INTERVAL,
    ContextPairs,
    loss_effect,
    on_same_rows,
    reward_effects,
    seeds_in_common,
)
from analysis.statistics.intervals import Interval
from analysis.statistics.multiple_tests import Tested, holm
from analysis.wording.phrases import count
from analysis.wording.values import show_field, texts_apart


@dataclass(frozen=True)
class Effect(Tested):
    """What changes from one level of a factor to another, as a mean over the contexts in which both were trained.

    Attributes:
        factor: the field.
        low: the level that a difference starts from, as text.
        high: the level that it leads to.
        contexts: settings of all other fields in which both levels were trained.
        trial_pairs: pairs of trials of the same seed.
        test_loss: mean difference of last test loss, `high` minus `low`, with its plain 95 % interval.
        p_value: of the test that pairs of arms get, adjusted by Holm's method for all effects and for the looks at the
            data; NaN where untested.
        method: name of the test; empty without one.
        seeds: seeds that all these pairs share.
        windows: test windows that the test takes as a sample; 0 where it takes none.
        over_seeds: whether the test takes in the choice of seeds, without which it speaks of the trained models alone.
        win_rate: the same difference of the win rate; NaN without rewards, and from one base model to another.
        reward_margin: the same difference of the mean reward margin; NaN likewise.
        same_rows: whether the two levels are tested on the same rows; no test compares their losses otherwise.
    """

    factor: str
    low: str
    high: str
    contexts: int
    trial_pairs: int
    test_loss: Interval
    p_value: float
    method: str
    seeds: int
    windows: int
    over_seeds: bool
    win_rate: Interval
    reward_margin: Interval
    same_rows: bool

    @property
    def over(self) -> str:
        """What the interval takes as a sample, in words."""
        cases = f"{count(self.seeds, 'seed')} and {self.windows} windows" if self.windows else count(self.seeds, "seed")
        return cases if self.over_seeds else count(self.windows, "window")


def matched_effects(arms: list[Arm], ignored: Collection[str] = (), looks: int = 1) -> list[Effect]:
    """Compare the levels of each factor over pairs of arms that differ in that factor alone.

    A pair agrees in the seed and in every other field that both arms have. What belongs to a method or an optimizer
    (see OWNER) may differ where these do. All trials share their seeds and their test windows, so contexts are no
    independent samples: what a level does on one seed or window, it does in every context. Within every seed and
    window the pairs of a context are averaged, then the contexts, each counting once. What remains gets the test that
    two arms get. The test speaks of these contexts, averaged, and of no others.

    Args:
        arms: finished arms.
        ignored: fields that need not agree and are no factor, as those tuned for each arm.
        looks: see `choices.looks_at`.

    Returns:
        The effects by factor in the order of the config. Of a factor with numbers, each level is compared with the
        next one, and the lowest with the highest.
    """
    names = [name for name in varying_fields(arms) if name not in ignored]
    losses = {arm.label: arm.losses_by_seed for arm in arms}
    effects = []
    for factor, contexts in _matched(arms, names).items():
        for (low, high), every in _by_levels(factor, contexts).items():
            kept, seeds = seeds_in_common(every, losses)
            if seeds:
                effects.append(_effect(factor, (low, high), kept, losses, seeds))
    adjusted = holm([effect.p_value for effect in effects], looks)
    made = [replace(effect, p_value=p_value) for effect, p_value in zip(effects, adjusted, strict=True)]
    return sorted(made, key=lambda effect: names.index(effect.factor))


def _matched(arms: list[Arm], names: list[str]) -> dict[str, dict[object, list[Arm]]]:
    """Arms that differ in one field alone, by that field and by the setting of the others."""
    settings = {name: [repr(arm.config.get(name)) for arm in arms] for name in names}
    matched: dict[str, dict[object, list[Arm]]] = {}
    for factor in names:
        if factor in WINDOW_FIELDS:
            continue
        others = [settings[name] for name in names if factor not in (name, OWNER.get(name))]
        members: dict[object, list[int]] = {}
        for place in range(len(arms)):
            members.setdefault(tuple(values[place] for values in others), []).append(place)
        levels = settings[factor]
        for context, places in members.items():
            if len({levels[place] for place in places}) > 1:
                matched.setdefault(factor, {})[context] = [arms[place] for place in places]
    return matched


def _by_levels(factor: str, contexts: Mapping[object, list[Arm]]) -> dict[tuple[str, str], list[ContextPairs]]:
    """The contexts' pairs by the two levels that they compare, in the order of the levels."""
    level, order = _levels(factor, [arm for arms in contexts.values() for arm in arms])
    by_levels: dict[tuple[str, str], list[ContextPairs]] = {}
    for arms in contexts.values():
        members: dict[str, list[tuple[int, Arm]]] = {}
        for place, arm in enumerate(arms):
            members.setdefault(level[arm.label], []).append((place, arm))
        if len(members) < 2:
            continue  # as 1 and 1.0 are printed
        compared = set(_compared(sorted(members, key=order.__getitem__), order))
        for low, high in sorted(compared, key=lambda both: (order[both[0]], order[both[1]])):
            # pairs come as their arms do: means over them are the same to the bit
            pairs = sorted(product(members[low], members[high]), key=lambda pair: sorted((pair[0][0], pair[1][0])))
            by_levels.setdefault((low, high), []).append([(one, other) for (_, one), (_, other) in pairs])
    return by_levels


def _levels(factor: str, arms: list[Arm]) -> tuple[dict[str, str], dict[str, tuple[float, int]]]:
    """The level of each arm as text, by label, and where each level comes: numbers by size, names as they appear."""
    values = {arm.label: arm.config.get(factor) for arm in arms}
    different = {repr(value): value for value in values.values()}
    texts = texts_apart(lambda digits: [show_field(value, digits) for value in different.values()])
    shown = dict(zip(different, texts, strict=True))
    level = {label: shown[repr(value)] for label, value in values.items()}
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


def _effect(
    factor: str,
    levels: tuple[str, str],
    contexts: list[ContextPairs],
    losses: Mapping[str, SeedLosses],
    seeds: list[int],
) -> Effect:
    """The effect over these contexts and seeds, its p-value not yet adjusted."""
    difference, tested = loss_effect(contexts, losses, seeds)
    win_rate, reward_margin = reward_effects(contexts, seeds)
    return Effect(
        factor=factor,
        low=levels[0],
        high=levels[1],
        contexts=len(contexts),
        trial_pairs=sum(map(len, contexts)) * len(seeds),
        test_loss=Interval(*tested.test[:3]) if tested else NO_INTERVAL._replace(estimate=difference),
        p_value=tested.test.p_value if tested else math.nan,
        method=tested.method if tested else "",
        seeds=len(seeds),
        windows=tested.windows if tested else 0,
        over_seeds=bool(tested and tested.over_seeds),
        win_rate=win_rate,
        reward_margin=reward_margin,
        same_rows=on_same_rows(contexts),
    )
