"""Which trials ran side by side, by when and where their rows were made, and what hangs on it."""

from dataclasses import replace
from typing import Any

import pytest

from analysis.comparison.evidence import evidence_of
from analysis.comparison.grouping import group_arms
from analysis.drawings.arm_styles import arm_styles
from analysis.drawings.pareto import draw_pareto
from analysis.factors.pareto import PRICES, fronts_of, plane
from analysis.factors.what_mattered import what_mattered
from analysis.results.company import RAN_ALONE, ran_alone
from analysis.results.experiment import Results
from tests.planted_sweep import planted

GIB = 2**30
Rows = list[dict[str, Any]]


def rows(begin: float, *steps: float, place: str = "here cpu", judging: float = 0.0) -> Rows:
    """The rows of a trial that begins at a time, spends so long on each stretch of steps, and is judged at its end."""
    made, spent = [], 0.0
    for number, seconds in enumerate((0.0, *steps)):
        spent += seconds
        row = {"step": number, "train_seconds": spent, "evaluation_seconds": 0.0, "clock_seconds": begin + spent}
        made.append({**row, "place": place})
    if judging:
        made[-1] |= {"reward_seconds": judging, "judged_clock_seconds": made[-1]["clock_seconds"] + judging}
    return made


@pytest.mark.parametrize(
    ("second", "alone"),
    [
        (rows(20, 10), True),
        (rows(9, 10), False),  # the last second of the first
        (rows(9, 10, place="here GPU-1"), True),
        (rows(9, 10, place="there cpu"), True),
        (rows(2, 3), False),  # within the first
        (rows(-5, 5), True),
    ],
)
def test_trials_ran_side_by_side_where_they_were_busy_in_one_place_at_one_time(second: Rows, alone: bool) -> None:
    assert ran_alone({"a": rows(0, 4, 6), "b": second}) == {"a": alone, "b": alone}


def test_a_third_trial_that_nobody_met_stays_alone() -> None:
    assert ran_alone({"a": rows(0, 10), "b": rows(5, 10), "c": rows(15, 3)}) == {"a": False, "b": False, "c": True}


def test_judging_keeps_a_place_busy_too() -> None:
    assert ran_alone({"a": rows(0, 10, judging=30), "b": rows(20, 5)}) == {"a": False, "b": False}


def test_a_trial_that_went_on_another_day_was_not_busy_in_between() -> None:
    resumed = [*rows(0, 10), {**rows(0, 20)[-1], "step": 2, "clock_seconds": 1010.0}]
    assert ran_alone({"a": resumed, "b": rows(500, 10)}) == {"a": True, "b": True}
    assert ran_alone({"a": resumed, "b": rows(1005, 10)}) == {"a": False, "b": False}


def test_of_rows_that_do_not_tell_when_or_where_nothing_is_known() -> None:
    without = [{name: value for name, value in row.items() if name != "place"} for row in rows(0, 10)]
    assert ran_alone({"a": without, "b": rows(0, 10), "c": []}) == {"b": True}


def swept(*alone: bool | None) -> Results:
    """Ranks that take memory and time, each of one trial that ran alone or not."""
    made = planted(
        lambda c: 2 - c["rank"] / 100,
        [{"rank": rank} for rank in range(1, len(alone) + 1)],
        peak_bytes=lambda c: c["rank"] * GIB,
        train_seconds=lambda c: 10.0 * c["rank"],
    )
    return replace(made, trials=made.trials.assign(**{RAN_ALONE: list(alone)}))


def test_what_is_said_of_time_stands_where_every_trial_ran_alone() -> None:
    results = swept(True, True)
    made = what_mattered(evidence_of(results), fronts_of(group_arms(results)))
    assert made is not None
    assert any("s of training with" in sentence for sentence in made.sentences)
    assert any(name.startswith("s per 0.1") for name in made.costs)
    assert not any("left out" in note for note in made.notes)


@pytest.mark.parametrize(
    ("alone", "why"), [((True, False), "trials ran side by side on one device"), ((True, None), "not on record")]
)
def test_nothing_is_said_of_time_where_trials_had_company_or_nobody_knows(
    alone: tuple[bool | None, ...], why: str
) -> None:
    results = swept(*alone)
    arms = group_arms(results)
    made = what_mattered(evidence_of(results), fronts_of(arms))
    assert made is not None
    assert not any("training time" in said or "of training with" in said for said in made.sentences)
    assert not any("time" in name or name.startswith(("s ", "min ", "GiB·")) for name in made.costs)
    assert "GiB per 0.1 nats/token" in made.costs, "memory is measured whoever runs beside"
    (note,) = [note for note in made.notes if note.startswith("Training times, and prices in them, are left out")]
    assert why in note
    assert [len(plane(arms, price)) for price in PRICES] == [2, 0]
    drawing = draw_pareto(fronts_of(arms), arm_styles(arms))
    assert drawing is not None
    assert "time" not in drawing.caption.partition("means over")[0]
