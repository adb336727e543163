"""What mattered: rank, optimizer or learning rate? The effects, the shares of variance and the costs, in one value."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.comparison.evidence import Evidence
from analysis.factors.cost_table import costs_part
from analysis.factors.dominance import describe_fronts
from analysis.factors.effect_table import effects_part
from analysis.factors.pareto import Front
from analysis.factors.share_table import shares_part
from basis.outcomes import Outcome


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


def what_mattered(evidence: Evidence, fronts: Sequence[Front]) -> WhatMattered | None:
    """Work out which factor mattered, and what quality costs.

    Args:
        evidence: what the sweep's report stands on.
        fronts: its arms by cost and loss, see `pareto.fronts_of`.

    Returns:
        The content of the section; None with fewer than two finished arms, between which nothing can matter.
    """
    results, looks = evidence.results, evidence.looks
    finished = [arm for arm in evidence.finished if arm.has_test_loss]
    if len(finished) < 2:
        return None
    tuned = evidence.tuned
    tried = [arm for arm in evidence.tuning_arms if arm.outcome == Outcome.FINISHED and arm.values("validation_loss")]
    effects = effects_part(finished, tuned, looks)
    shares = shares_part(
        finished, tried, tuned, any(sweep.spec.get("search") == "optuna" for sweep in results.sweeps), looks
    )
    costs = costs_part(results, finished, fronts)
    notes = [*effects.notes, *shares.notes, *_tuning_notes(tuned, bool(tried)), *costs.notes]
    if lost := len(evidence.arms) - len(finished):
        notes.insert(0, f"{lost} of {len(evidence.arms)} arms did not finish and are left out, diverged ones too.")
    return WhatMattered(
        effects=effects.frame,
        importance=shares.frame,
        costs=costs.frame,
        notes=notes,
        sentences=[*shares.sentences, *effects.sentences, *describe_fronts(fronts, looks), *costs.sentences],
    )


def _tuning_notes(tuned: Collection[str], tried: bool) -> list[str]:
    if not tuned:
        return []
    names = ", ".join(tuned)
    first = f"Each arm is shown at its own best {names}, chosen on validation windows."
    return [first + (f" How much {names} matters is therefore read from the tuning trials." if tried else "")]
