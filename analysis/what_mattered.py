"""What mattered: rank, optimizer or learning rate? The effects, the shares of variance and the costs, in one value."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from analysis.arms import Arm, collect
from analysis.choices import searched_fields
from analysis.columns import MISSING, show_interval
from analysis.comparisons import looks_at
from analysis.effects import Effect, describe_effects, matched_effects, p_cell, show_effects
from analysis.importance import Importance, share_of_variance
from analysis.outcomes import FINISHED
from analysis.pareto import (
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
from analysis.phrases import join, show_p
from analysis.results import Results
from sweep.names import METRIC

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
    finished = [arm for arm in arms if arm.outcome == FINISHED and arm.values("test_loss")]
    if len(finished) < 2:
        return None
    tuned = tuned_fields(results.spec)
    looks = looks_at(results.spec)
    effects = matched_effects(finished, tuned, looks)
    shares = _shares(finished, tuned)
    tried = [arm for arm in tuning_arms(results) if arm.outcome == FINISHED and arm.values("validation_loss")]
    if tried:
        shares.append(share_of_variance(tried, "validation_loss"))
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
            *_tuning_notes(tuned, bool(tried)),
            *_cost_notes(finished, made, metric),
        ],
        sentences=[
            *_about_shares(shares),
            *_about_effects(effects),
            *_about_fronts(finished),
            *_about_costs(made, metric),
        ],
    )


def tuned_fields(spec: Mapping[str, Any]) -> list[str]:
    """Fields whose value was chosen for each arm by its tuning trials."""
    return searched_fields(spec)


def tuning_arms(results: Results) -> list[Arm]:
    """The tuning trials as arms of one trial each, so that what works on arms works on them."""
    if results.tuning.empty:
        return []
    return collect(replace(results, trials=results.tuning.assign(arm=results.tuning["trial"])))


def _shares(arms: list[Arm], tuned: Collection[str]) -> list[Importance]:
    """The shares of all arms, and where these are no full grid, those of each method whose arms are one."""
    shares = [share_of_variance(arms, "test_loss", tuned)]
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
            "p": p_cell(share.p_values.get(name, math.nan)),
            "test": share.test,
        }
        for share in shares
        for name, value in sorted(share.shares.items(), key=lambda item: -item[1])
    ]
    frame = pd.DataFrame(rows, columns=["variance of", "source", "share", "p", "test"], dtype=str)
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


def _about_shares(shares: list[Importance]) -> list[str]:
    sentences = []
    for share in shares:
        if not share.shares:
            continue
        (first, most), *others = sorted(share.shares.items(), key=lambda item: -item[1])
        named = ", ".join(f"{name} {_percent(value)}" for name, value in others[:NAMED_FACTORS])
        test = f", F test, {show_p(share.p_values[first])}" if first in share.p_values else ""
        sentences.append(
            f"Of the variance of {share.what}, the largest share goes to {first}: {_percent(most)} "
            f"({share.test}{test}); then {named}."
        )
    return sentences


def _about_effects(effects: list[Effect]) -> list[str]:
    """The largest effect of each factor, the factors with the largest ones first."""
    largest: dict[str, Effect] = {}
    for effect in sorted(effects, key=lambda effect: -abs(effect.test_loss.estimate)):
        largest.setdefault(effect.factor, effect)
    sentences = []
    for effect in list(largest.values())[:NAMED_FACTORS]:
        size = show_interval(effect.test_loss, 4, signed=True)
        lead = f"From {effect.factor} {effect.low} to {effect.high} test loss changes by {size} nats/token"
        if math.isnan(effect.p_value):
            why = "one pair of trials" if effect.trial_pairs == 1 else f"{effect.over} without any spread"
            sentences.append(f"{lead} ({why}, so without an interval or a test).")
            continue
        told = "" if effect.differs else ", not distinguishable from none"
        sentences.append(
            f"{lead}{told} (mean over {effect.over}, paired t test, Holm-adjusted {show_p(effect.p_value)})."
        )
    return sentences


def _about_fronts(arms: list[Arm]) -> list[str]:
    sentences = []
    for price in PRICES:
        points = plane(arms, price)
        front = [point.arm.label for point in points if not point.dominated]
        if lost := len(points) - len(front):
            share = f"{lost} of {len(points)} arms {'is' if lost == 1 else 'are'} dominated"
            sentences.append(
                f"In test loss against {price.name}, {share} (by means, not by a test); what remains is {join(front)}."
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
