"""What mattered: rank, optimizer or learning rate? The effects, the shares of variance and the costs, in one value."""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import pandas as pd

from analysis.comparison.arms import Arm, collect
from analysis.comparison.choices import searched_fields
from analysis.comparison.compare import looks_at
from analysis.comparison.statistics import ALPHA
from analysis.factors.anova import SEEDS
from analysis.factors.dominance import dominated_beyond_chance
from analysis.factors.effects import Effect, describe_effects, matched_effects, p_cell, show_effects
from analysis.factors.importance import NO_FACTORS, Importance, adjusted, share_of_variance
from analysis.factors.pareto import (
    PRICES,
    QUALITY_UNIT,
    TIME,
    Cost,
    costs,
    gained_loss,
    plane,
    show_amount,
    show_costs,
    sources,
    units,
    why_no_times,
)
from analysis.results.load import Results
from analysis.tables.columns import MISSING, show_interval
from analysis.wording.phrases import count, holm_adjusted, join, show_p
from basis.metrics import METRIC
from basis.outcomes import Outcome

NAMED_FACTORS = 3
"""Factors that the sentences name; the tables have them all."""


@dataclass(frozen=True)
class WhatMattered:
    """What the section "What mattered" shows.

    Attributes:
        effects: the effect of each factor over matched pairs, one row per two levels; printable strings.
        importance: the share of variance by source; printable strings.
        costs: what each arm takes per unit of quality; printable strings.
        notes: what the numbers mean and what cannot be told, one sentence or two each.
        sentences: what the numbers show; each names its numbers and its test.
    """

    effects: pd.DataFrame
    importance: pd.DataFrame
    costs: pd.DataFrame
    notes: list[str]
    sentences: list[str]


def what_mattered(results: Results, arms: list[Arm]) -> WhatMattered | None:
    """Work out which factor mattered, and what quality costs.

    Args:
        results: the directory's content.
        arms: all arms of the sweep.

    Returns:
        The content of the section; None with fewer than two finished arms, between which nothing can matter.
    """
    finished = [arm for arm in arms if arm.outcome == Outcome.FINISHED and arm.values("test_loss")]
    if len(finished) < 2:
        return None
    tuned = searched_fields(results.spec)
    looks = looks_at(results.spec)
    effects = matched_effects(finished, tuned, looks)
    shares = _shares(finished, tuned, results.spec.get("search") == "optuna")
    tried = [arm for arm in tuning_arms(results) if arm.outcome == Outcome.FINISHED and arm.values("validation_loss")]
    if tried:
        shares.append(share_of_variance(tried, "validation_loss"))
    shares = adjusted(shares, looks)
    metric = gained_loss(results, finished)
    made = costs(results, finished, metric) if metric else []
    lost = len(arms) - len(finished)
    return WhatMattered(
        effects=show_effects(effects),
        importance=_show_shares(shares),
        costs=show_costs(made, metric) if metric else pd.DataFrame(),
        notes=[
            *([f"{lost} of {len(arms)} arms did not finish and are left out, diverged ones too."] if lost else []),
            *describe_effects(effects, finished, tuned, looks),
            *(share.note for share in shares),
            *_share_notes(shares, looks),
            *_tuning_notes(tuned, bool(tried)),
            *_cost_notes(finished, made, metric),
        ],
        sentences=[
            *_about_shares(shares),
            *_about_effects(effects),
            *_about_fronts(finished, looks),
            *_about_costs(made, metric),
        ],
    )


def tuning_arms(results: Results) -> list[Arm]:
    """The tuning trials as arms of one trial each, so that what works on arms works on them."""
    if results.tuning.empty:
        return []
    return collect(replace(results, trials=results.tuning.assign(arm=results.tuning["trial"])))


def _shares(arms: list[Arm], tuned: Collection[str], guided: bool) -> list[Importance]:
    """The shares of all arms, and where these are no full grid, those of each method whose arms are one."""
    shares = [share_of_variance(arms, "test_loss", tuned, guided)]
    methods = dict.fromkeys(str(arm.config.get("method")) for arm in arms)
    if shares[0].test != "ANOVA" and len(methods) > 1:
        for method in methods:
            alone = share_of_variance([arm for arm in arms if arm.config.get("method") == method], "test_loss", tuned)
            if alone.test == "ANOVA":
                shares.append(alone._replace(what=f"{alone.what}, {method} alone"))
    return shares


def _show_shares(shares: list[Importance]) -> pd.DataFrame:
    rows = [
        {
            "variance of": share.what,
            "source": name,
            "share": f"{100 * value:.1f} %",
            "of noise alone": f"{100 * share.noise[name]:.1f} %" if name in share.noise else MISSING,
            "p": p_cell(share.p_values.get(name, math.nan)),
            "test": share.test,
        }
        for share in shares
        for name, value in sorted(share.shares.items(), key=lambda item: -item[1])
    ]
    frame = pd.DataFrame(rows, columns=["variance of", "source", "share", "of noise alone", "p", "test"], dtype=str)
    return frame if (frame["p"] != MISSING).any() else frame.drop(columns="p")


def _tuning_notes(tuned: Collection[str], tried: bool) -> list[str]:
    if not tuned:
        return []
    names = ", ".join(tuned)
    first = f"Each arm is shown at its own best {names}, chosen on validation windows."
    return [first + (f" How much {names} matters is therefore read from the tuning trials." if tried else "")]


def _cost_notes(arms: list[Arm], made: list[Cost], metric: str | None) -> list[str]:
    if metric is None:
        return ["Costs per unit of quality are left out: no finished arm has a loss at step 0 to count a gain from."]
    notes = [
        f"Gained is the {metric.replace('_', ' ')} of the base model (step 0) minus the last one, a mean over the "
        f"seeds. Costs per {QUALITY_UNIT} {METRIC[metric].unit} are averages over the whole gain; the last part of it "
        "usually costs more than the first. Peak memory is the largest over the seeds."
    ]
    if none := [cost.arm.label for cost in made if cost.gain.estimate <= 0]:
        notes.append(f"Without a gain there is no cost per unit of it: {join(none)}.")
    if (no_times := why_no_times(arms)) and any(arm.values(TIME) for arm in arms):
        notes.append(no_times)
    for price in PRICES:
        if len(found := sources(arms, price)) > 1:
            notes.append(
                f"The arms' {price.name} does not compare; it was measured on or by {', '.join(sorted(found))}."
            )
    return notes


def _share_notes(shares: list[Importance], looks: int) -> list[str]:
    """The family of the tests of shares."""
    tested = sum(len(share.p_values) for share in shares)
    return [f"p of shares is {holm_adjusted(tested, 'source', looks)}, all in one family."] if tested else []


def _about_shares(shares: list[Importance]) -> list[str]:
    return [_about_division(share) for share in shares if share.shares]


def _about_division(share: Importance) -> str:
    """Which sources the tests tell from noise, largest first, and what the others look like; a claim only of those."""
    ranked = sorted(share.shares, key=lambda name: -share.shares[name])
    told = [name for name in ranked if share.p_values.get(name, 1.0) < ALPHA]
    factors = [name for name in ranked if name not in (*told, *NO_FACTORS)]
    others = join([_named_share(share, name) for name in factors[:NAMED_FACTORS]]) if factors else ""
    seeds = f"; seeds take {_percent(share.shares[SEEDS])}" if SEEDS in share.shares else ""
    scope = "" if share.over_seeds else "In these trained models alone, "
    what = f"{scope}{'O' if share.over_seeds else 'o'}f the variance of {share.what}"
    if told:
        taken = join([_named_share(share, name) for name in told[: NAMED_FACTORS + 1]])
        rest = f"; not told from noise: {others}" if others else ""
        return f"{what}, more than noise goes to {taken}{rest}{seeds} ({share.test}, {share.method}, Holm-adjusted)."
    if share.p_values:
        return f"{what}, no share is told from noise: {others}{seeds} ({share.test}, {share.method}, Holm-adjusted)."
    return f"{what}, without a test: {others}{seeds} ({share.test}; {share.method})."


def _named_share(share: Importance, name: str) -> str:
    """A source with its share, what noise alone would give it, and its p-value."""
    asides = [f"noise alone {_percent(share.noise[name])}"] if name in share.noise else []
    asides += [show_p(share.p_values[name])] if name in share.p_values else []
    return f"{name} {_percent(share.shares[name])}" + (f" ({', '.join(asides)})" if asides else "")


def _about_effects(effects: list[Effect]) -> list[str]:
    """The largest effect of each factor, the factors with the largest ones first."""
    largest: dict[str, Effect] = {}
    for effect in sorted(effects, key=lambda effect: -abs(effect.test_loss.estimate)):
        largest.setdefault(effect.factor, effect)
    return [_about_effect(effect) for effect in list(largest.values())[:NAMED_FACTORS]]


def _about_effect(effect: Effect) -> str:
    """One effect with what its test takes in; with one seed it is one of these trained models alone."""
    size = show_interval(effect.test_loss, 4, signed=True)
    lead = f"From {effect.factor} {effect.low} to {effect.high} test loss changes by {size} nats/token"
    over = f"averaged over {'this context' if effect.contexts == 1 else f'these {effect.contexts} contexts'}"
    if not effect.tested:
        if effect.trial_pairs == 1:
            return f"{lead} (one pair of trials, so without an interval or a test)."
        why = "differences without any spread" if effect.method else "one seed, without losses by window"
        return f"{lead} ({over}; {why}, so without a test)."
    told = "" if effect.differs else ", not distinguishable from none"
    if not effect.over_seeds:
        lead = f"In these trained models alone, f{lead[1:]}"
    return f"{lead}{told} ({over}; {effect.method}: {effect.over}; Holm-adjusted {show_p(effect.p_value)})."


def _about_fronts(arms: list[Arm], looks: int) -> list[str]:
    """Which arms are dominated: those that the tests tell, and how many more are by their means alone."""
    sentences = []
    for price in PRICES:
        points = plane(arms, price)
        if not any(point.dominated for point in points):
            continue
        told = dominated_beyond_chance(points, price, looks)
        by_means = [point.arm.label for point in points if point.dominated and point.arm.label not in told.labels]
        named = f"dominated beyond chance: {join(told.labels)}" if told.labels else "told to be dominated"
        number = f"{len(told.labels)} of {len(points)} arms {'is' if len(told.labels) == 1 else 'are'}"
        number = number if told.labels else "no arm is"
        scope = "" if told.over_seeds else ", as far as these trained models go"
        more = f"; by means alone {len(by_means)} {'more ' if told.labels else ''}would be" if by_means else ""
        remains = join([point.arm.label for point in points if not point.dominated])
        how = f"tests of two arms, Bonferroni-adjusted for {count(told.pairs, 'pair')}" if told.pairs else "untested"
        sentences.append(
            f"In test loss against {price.name}, {number} {named}{scope}{more} ({how}). "
            f"The front of the means: {remains}."
        )
    return sentences


def _about_costs(made: list[Cost], metric: str | None) -> list[str]:
    known = [cost for cost in made if math.isfinite(cost.per_unit(cost.seconds))]
    if metric is None or len(known) < 2:
        return []
    time = units(made)[2]
    cheapest, *_, dearest = sorted(known, key=lambda cost: cost.per_unit(cost.seconds))
    low, high = (show_amount(cost.per_unit(cost.seconds / time.size)) for cost in (cheapest, dearest))
    return [
        f"{QUALITY_UNIT} {METRIC[metric].unit} of {metric.replace('_', ' ')} take {low} {time.name} of training with "
        f"{cheapest.arm.label} and {high} {time.name} with {dearest.arm.label} (means over the seeds, without a test)."
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "below 1 %"
