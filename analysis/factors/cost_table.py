"""What quality costs as a table, how to read it, and the sentences that the extremes make."""

import math
from collections.abc import Sequence

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.loss_metric import by_text
from analysis.factors.pareto import (
    PRICES,
    QUALITY_UNIT,
    TIME,
    Cost,
    Front,
    Unit,
    gained_costs,
    sources,
    unit_for,
    why_no_times,
)
from analysis.factors.section_part import SectionPart
from analysis.results.experiment import Results
from analysis.wording.numbers import MISSING, show_amount, show_interval
from analysis.wording.phrases import join
from basis.metrics import METRIC


def costs_part(results: Results, arms: list[Arm], fronts: Sequence[Front]) -> SectionPart:
    """Tell what quality costs.

    Args:
        results: its curves hold the loss of the base model, at step 0.
        arms: finished arms.
        fronts: what `fronts_of` returned.
    """
    metric, gained = gained_costs(results, arms)
    if metric is None:
        why = "no finished arm has a loss at step 0 to count a gain from"
        if by_text(arms):
            why += ", in bits per byte, which alone compare across tokenizers"
        return SectionPart(pd.DataFrame(), [f"Costs per unit of quality are left out: {why}."], [])
    return SectionPart(show_costs(gained, metric, fronts), _notes(arms, gained, metric), _extremes(gained, metric))


def show_costs(made: list[Cost], metric: str, fronts: Sequence[Front]) -> pd.DataFrame:
    """The costs as printable strings, one row per arm; columns without any value are left out.

    Args:
        made: what `costs` returned.
        metric: the loss that is gained.
        fronts: what `fronts_of` returned.
    """
    memory, time, priced = units(made)
    both = f"{memory.name}·{priced.name}"
    per = f"per {QUALITY_UNIT} {METRIC[metric].unit}"
    dominated = {front.price.name: front.dominated for front in fronts}
    rows = []
    for cost in made:
        space = cost.peak_bytes / memory.size
        lost = [name for name, arms in dominated.items() if cost.arm.label in arms]
        rows.append(
            {
                "arm": cost.arm.label,
                f"{metric.replace('_', ' ')} gained, {METRIC[metric].unit}": show_interval(cost.gain, 4),
                f"peak memory, {memory.name}": show_amount(space),
                f"training time, {time.name}": show_amount(cost.seconds / time.size),
                f"{memory.name} {per}": show_amount(cost.per_unit(space)),
                f"{priced.name} {per}": show_amount(cost.per_unit(cost.seconds) / priced.size),
                f"{both} {per}": show_amount(cost.per_unit(space * cost.seconds) / priced.size),
                "dominated in": " and ".join(lost) or MISSING,
            }
        )
    frame = pd.DataFrame(rows, dtype=str)
    return frame.loc[:, [name == "dominated in" or (frame[name] != MISSING).any() for name in frame]]


def units(made: list[Cost]) -> tuple[Unit, Unit, Unit]:
    """The units of memory, of training time, and of time per QUALITY_UNIT that suit the largest costs."""
    return (
        unit_for("peak_bytes", _largest([cost.peak_bytes for cost in made])),
        unit_for("train_seconds", _largest([cost.seconds for cost in made])),
        unit_for("train_seconds", _largest([cost.per_unit(cost.seconds) for cost in made])),
    )


def _largest(values: list[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=0.0)


def _notes(arms: list[Arm], made: list[Cost], metric: str) -> list[str]:
    """How gains and prices are counted, and what of them does not compare."""
    notes = [
        f"Gained is the {metric.replace('_', ' ')} of the arm's base model (step 0) minus the last one, a mean over "
        f"the seeds. Costs per {QUALITY_UNIT} {METRIC[metric].unit} are averages over the whole gain; the last part of "
        "it usually costs more than the first. Peak memory is the largest over the seeds."
    ]
    if none := [cost.arm.label for cost in made if cost.gain.estimate <= 0]:
        notes.append(f"Without a gain there is no cost per unit of it: {join(none)}.")
    if (no_times := why_no_times(arms)) and any(arm.values(TIME) for arm in arms):
        notes.append(no_times)
    for price in PRICES:
        if len(measured_by := sources(arms, price)) > 1:
            notes.append(
                f"The arms' {price.name} does not compare; it was measured on or by {', '.join(sorted(measured_by))}."
            )
    return notes


def _extremes(made: list[Cost], metric: str) -> list[str]:
    """The arms that buy quality for the least and for the most training time."""
    known = [cost for cost in made if math.isfinite(cost.per_unit(cost.seconds))]
    if len(known) < 2:
        return []
    time = units(made)[2]
    cheapest, *_, dearest = sorted(known, key=lambda cost: cost.per_unit(cost.seconds))
    low, high = (show_amount(cost.per_unit(cost.seconds / time.size)) for cost in (cheapest, dearest))
    return [
        f"{QUALITY_UNIT} {METRIC[metric].unit} of {metric.replace('_', ' ')} take {low} {time.name} of training with "
        f"{cheapest.arm.label} and {high} {time.name} with {dearest.arm.label} (means over the seeds, without a test)."
    ]
