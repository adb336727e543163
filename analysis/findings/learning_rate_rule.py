"""Whether a rule of thumb held on a sweep's own data: LoRA learns best at ten times the rate of full fine-tuning.

"LoRA Without Regret" (Schulman et al. 2025, https://thinkingmachines.ai/blog/lora/) found it for AdamW at alpha 32 and
scaling alpha/r, and with it that LoRA's best learning rate hardly depends on rank. It is asked of every sweep that
tried several learning rates of both, by a tuned search or as a grid.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from analysis.comparison.best_rates import BestRate, SeedNoise, best_rate, seed_noise
from analysis.comparison.choices import chosen_by
from analysis.comparison.evidence import Evidence
from analysis.comparison.rate_groups import RateGroup, rate_groups
from analysis.wording.phrases import join
from analysis.wording.values import show_field
from basis.fields import COST_FIELDS, LORA_DEFAULTS, SCALINGS, owner_of
from basis.learning_rates import trains_of

TOPIC = "The rule of learning rates"
"""Heading of what this module finds."""
TIMES = 10.0
"""What LoRA's best learning rate is said to be, as a multiple of full fine-tuning's."""
ABOUT = math.sqrt(10)
"""How far off still is about: what is nearer to ten than to one or a hundred, on a logarithmic scale."""
RANKS_APART = 10.0
"""How far apart ranks have to lie before a best rate that stays tells anything: 1 / sqrt(rank) moves it by ABOUT."""
ROUNDING = 1 + 1e-6
MOST_SETTINGS = 6
"""Optimizers, or settings of one, of which a sentence is written."""

HELD, FAILED, UNKNOWN = "held", "did not hold", "can't be told"


class Checked(NamedTuple):
    """A group of learning rates, what its loss says of the best one, and what it shares with others."""

    group: RateGroup
    best: BestRate
    setting: str


def describe_learning_rate_rule(evidence: Evidence) -> list[str]:
    """Sentences on the rule; none where a sweep did not try several learning rates of what it speaks of."""
    checked, noise = _checked(evidence)
    settings = dict.fromkeys(one.setting for one in checked)
    sentences = []
    for setting in itertools.islice(settings, MOST_SETTINGS):
        of_setting = [one for one in checked if one.setting == setting]
        full = [one for one in of_setting if _trains_all(one)]
        adapters = [one for one in of_setting if not _trains_all(one)]
        sentences += [_times(setting, adapters, full[0], noise)] if len(full) == 1 and adapters else []
        sentences += [_ranks(setting, scaling, adapters, noise) for scaling in SCALINGS if _by_rank(adapters, scaling)]
    if not sentences:
        return []
    further = "" if len(settings) <= MOST_SETTINGS else f" {len(settings) - MOST_SETTINGS} more settings are left out."
    return [*sentences, _basis(noise) + further]


def _checked(evidence: Evidence) -> tuple[list[Checked], SeedNoise | None]:
    metric = chosen_by(evidence.results.spec)
    members = evidence.tuning_arms
    if not members:
        members = evidence.arms
        metric = members[0].loss_metric if members else metric
    groups = [group for group in rate_groups(members, metric) if group.alone]
    noise = seed_noise(evidence.finished, "test_loss" if metric == "validation_loss" else metric)
    shared = [_shared(group.config) for group in groups]
    names = [_setting(config, shared) for config in shared]
    found = ((group, best_rate(group, noise), name) for group, name in zip(groups, names, strict=True))
    return [Checked(group, best, name) for group, best, name in found if best is not None], noise


def _shared(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a config does not follow from its method, nor concerns its cost alone."""
    apart = ("method", *COST_FIELDS)
    return {name: value for name, value in config.items() if name not in apart and owner_of(name) != "method"}


def _setting(config: Mapping[str, Any], every: Sequence[Mapping[str, Any]]) -> str:
    """What to call trials that differ in nothing but their method and what belongs to it: by optimizer, and all else.

    Args:
        config: what they share.
        every: what is shared by each group of the sweep.
    """
    beside = [other for other in every if other.get("optimizer") == config.get("optimizer")]
    own = [name for name in config if name != "model" and len({repr(other.get(name)) for other in beside}) > 1]
    model = [str(config["model"])] if len({other.get("model") for other in every}) > 1 else []
    return ", ".join([*model, str(config.get("optimizer")), *(f"{name} {show_field(config[name])}" for name in own)])


def _trains_all(one: Checked) -> bool:
    return trains_of(str(one.group.config.get("method"))) == "full"


def verdict(ratio: BestRate, expected: float, noise: SeedNoise | None) -> str:
    """Whether a ratio is about what is expected, as far as its limits tell."""
    if noise is None:
        return UNKNOWN
    if ratio.low * ROUNDING >= expected / ABOUT and ratio.high <= expected * ABOUT * ROUNDING:
        return HELD
    if ratio.low * ROUNDING >= expected * ABOUT or ratio.high <= expected / ABOUT * ROUNDING:
        return FAILED
    return UNKNOWN


def _times(setting: str, adapters: list[Checked], full: Checked, noise: SeedNoise | None) -> str:
    """One sentence: how many times full fine-tuning's best rate that of each adapter is."""
    ratios = [one.best.over(full.best) for one in adapters]
    verdicts = [verdict(ratio, TIMES, noise) for ratio in ratios]
    told = [
        f"{_number(ratio.estimate)} times ({'; '.join([_name(one), _limits(ratio), *_edge(one)])})"
        for one, ratio in zip(adapters, ratios, strict=True)
    ]
    edge = "".join(f" Full fine-tuning's best {show_field(full.best.estimate)} is {end}." for end in _edge(full))
    rule = "LoRA's best learning rate is about ten times that of full fine-tuning"
    return f"{_begins(rule, _overall(verdicts), f'with {setting}')}: {join(told)}.{edge}"


def _by_rank(adapters: list[Checked], scaling: str) -> list[list[Checked]]:
    """Adapters of a scaling that differ in rank alone, by ascending rank."""
    alike: dict[str, list[Checked]] = {}
    for one in adapters:
        config = one.group.config
        if config.get("scaling", LORA_DEFAULTS["scaling"]) == scaling and isinstance(config.get("rank"), int):
            rest = {name: value for name, value in config.items() if name != "rank"}
            alike.setdefault(repr(rest), []).append(one)
    return [sorted(own, key=_rank) for own in alike.values() if len({_rank(one) for one in own}) > 1]


def _rank(one: Checked) -> int:
    return int(one.group.config["rank"])


def _ranks(setting: str, scaling: str, adapters: list[Checked], noise: SeedNoise | None) -> str:
    """One sentence: the best rate at each rank, and whether they are the same."""
    groups = _by_rank(adapters, scaling)
    verdicts, told = [], []
    for own in groups:
        pairs = [verdict(high.best.over(low.best), 1.0, noise) for low, high in itertools.combinations(own, 2)]
        wide = _rank(own[-1]) >= RANKS_APART * _rank(own[0])
        verdicts.append(_overall(pairs) if wide or FAILED in pairs else UNKNOWN)
        told.append(
            join([f"{show_field(one.best.estimate, 2)} at rank {_rank(one)} ({_limits(one.best)})" for one in own])
        )
    rule = f"under {scaling} LoRA's best learning rate is independent of rank"
    return f"{_begins(rule, _overall(verdicts), f'with {setting}')}: {'; '.join(told)}."


def _begins(rule: str, found: str, where: str) -> str:
    if found == UNKNOWN:
        return f"Whether {rule} can't be told {where}"
    return f"That {rule} {found} {where}"


def _overall(verdicts: Sequence[str]) -> str:
    return FAILED if FAILED in verdicts else HELD if set(verdicts) == {HELD} else UNKNOWN


def _name(one: Checked) -> str:
    """An adapter, and where it is not scaled as the rule has it."""
    config = one.group.config
    named = f"{config.get('method')} r{config['rank']}" if config.get("rank") is not None else str(config.get("method"))
    others = [
        f"{name} {show_field(config[name])}"
        for name in ("alpha", "scaling")
        if config.get(name) not in (None, LORA_DEFAULTS[name])
    ]
    return ", ".join([named, *others])


def _limits(ratio: BestRate) -> str:
    if ratio.low == 0 and math.isinf(ratio.high):
        return "no limits"
    if ratio.low == 0:
        return f"at most {_number(ratio.high)}"
    if math.isinf(ratio.high):
        return f"at least {_number(ratio.low)}"
    return f"between {_number(ratio.low)} and {_number(ratio.high)}"


def _edge(one: Checked) -> list[str]:
    if not one.best.at_edge:
        return []
    rates = sorted(tried.rate for tried in one.group.tried)
    at_end = one.best.estimate in (rates[0], rates[-1])
    return ["at an end of the range tried" if at_end else "not told apart from an end of the range tried"]


def _number(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def _basis(noise: SeedNoise | None) -> str:
    about = "About ten is nearer to ten than to one or a hundred, and a rate that stays does so within the same factor."
    limits = "Limits follow from the learning rates tried"
    if noise is None:
        return f"{about} {limits}; with one seed of every arm, how far another would move them is unknown."
    return f"{about} {limits}, and from how far seeds move a loss ({show_field(noise.deviation, 2)})."
