"""The comparison tables of a report: which arms each shows, in which columns, and what has to be said below it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.comparisons import Comparisons
from analysis.comparison.fields import matches, windows
from analysis.comparison.forgetting import Forgetting, measure_forgetting
from analysis.comparison.learning_rates import RateRange, rate_ranges
from analysis.comparison.loss_metric import by_one_metric, by_text
from analysis.comparison.pair_tests import compare_pairs
from analysis.tables.columns import (
    BEST_ARM,
    BEST_LOSS,
    BITS_PER_BYTE,
    FORGETTING,
    FORGETTING_LETTERS,
    LETTERS,
    TEST_LOSS,
    columns_for,
    show_forgetting,
    test_loss_heading,
)
from analysis.tables.letters import forgetting_letters_of, letters_note, letters_of, marks_note, marks_of
from analysis.tables.notes import BY_TEXT_NOTE, LOSS_NOTE, notes_of, without_bytes
from analysis.wording.numbers import MISSING
from analysis.wording.values import show_field
from basis.fields import optimizer_order
from basis.outcomes import Outcome

ANCHOR_LENGTH = 60
"""Longest name of a table in links and in the names of its files, which file systems limit."""


@dataclass(frozen=True)
class ComparisonTable:
    """One table of a report.

    Attributes:
        title: heading.
        anchor: short name for links and file names.
        factor: the field that the table compares, if any.
        arms: the arms it shows, in the order of its rows.
        frame: printable strings, one row per arm.
        notes: what its numbers mean, one sentence or two each.
        trace: the arms with the trial directories that their numbers come from.
        compared: the comparisons of its finished arms.
        rate_ranges: its arms that differ in their learning rate alone.
        forgotten: what its finished arms forget, as far as they measured it.
    """

    title: str
    anchor: str
    factor: str | None
    arms: list[Arm]
    frame: pd.DataFrame
    notes: list[str]
    trace: list[tuple[str, list[str]]]
    compared: Comparisons
    rate_ranges: list[RateRange]
    forgotten: list[Forgetting]

    @property
    def finished(self) -> list[Arm]:
        """The arms that finished, which alone are compared."""
        return [arm for arm in self.arms if arm.outcome == Outcome.FINISHED]

    @property
    def leaders(self) -> set[str]:
        """Of many arms those of the lowest test loss, one for each kind of windows that arms are tested on."""
        return {group.leader for group in self.compared.contenders}


def build_tables(
    arms: list[Arm], spec: Mapping[str, Any], looks: int, all_pairs: bool = False
) -> list[ComparisonTable]:
    """Make the tables that a spec asks for.

    Args:
        arms: all arms of the sweep.
        spec: its key `tables` lists title, `where` and `factor` of each; without it there is one table of all arms.
        looks: see `choices.looks_at`.
        all_pairs: compare every pair even of many arms; see `pair_choice`.

    Returns:
        The tables, also those that no arm matches.
    """
    tables: list[ComparisonTable] = []
    asked = spec.get("tables")
    listed = [entry for entry in asked if isinstance(entry, Mapping)] if isinstance(asked, list) else []
    for entry in listed or [{"title": "All arms"}]:
        title = str(entry.get("title") or entry.get("factor") or "All arms")
        anchor = _anchor(title, {table.anchor for table in tables})
        factor = str(entry["factor"]) if entry.get("factor") else None
        where = entry.get("where")
        shown = [arm for arm in arms if matches(arm.config, where if isinstance(where, Mapping) else {})]
        tables.append(_table(title, anchor, factor, shown, looks, all_pairs))
    return tables


def _anchor(title: str, taken: set[str]) -> str:
    """A short name that no other table has, of ANCHOR_LENGTH characters and a number at most."""
    short = re.sub(r"[^a-z0-9]+", "-", title.lower())[:ANCHOR_LENGTH].strip("-") or "table"
    anchor, number = short, 2
    while anchor in taken:
        anchor, number = f"{short}-{number}", number + 1
    return anchor


def _table(
    title: str, anchor: str, factor: str | None, arms: list[Arm], looks: int, all_pairs: bool
) -> ComparisonTable:
    arms = _by_level(by_one_metric(arms), factor)
    finished = [arm for arm in arms if arm.outcome == Outcome.FINISHED]
    compared = compare_pairs(finished, looks, all_pairs)
    forgotten = measure_forgetting(finished, looks)
    if compared.contenders:
        arms = _by_loss(arms)
    frame = pd.DataFrame(
        {column.heading: [column.cell(arm) for arm in arms] for column in columns_for(factor, arms)}, dtype=str
    )
    if arms:
        frame = frame.loc[:, [not (frame[name] == MISSING).all() for name in frame]]
        if all(arm.outcome == Outcome.FINISHED for arm in arms):
            frame = frame.drop(columns="state")
        if len(arms[0].seeds) == 1 and set(frame["seeds"]) == {str(arms[0].seeds[0])}:
            frame = frame.drop(columns="seeds")  # a note says it once
    heading = BEST_ARM if compared.contenders else LETTERS
    marks = marks_of(arms, compared) if compared.contenders else letters_of(arms, compared.losses)
    if marks:
        place = list(frame.columns).index(test_loss_heading(arms)) + 1
        frame.insert(place, heading, [marks.get(arm.label, MISSING) for arm in arms])
    if forgotten:
        shown = {one.arm.label: show_forgetting(one) for one in forgotten}
        frame.insert(_behind_losses(frame), FORGETTING, [shown.get(arm.label, MISSING) for arm in arms])
    by_forgetting = {} if compared.contenders else forgetting_letters_of(arms, compared.forgetting)
    if by_forgetting:
        letters = [by_forgetting.get(arm.label, MISSING) for arm in arms]
        frame.insert(list(frame.columns).index(FORGETTING) + 1, FORGETTING_LETTERS, letters)
    notes = notes_of(arms, list(frame.columns)) if arms else ["No trial of this sweep matches this table."]
    note = marks_note(compared) if compared.contenders else letters_note(compared)
    if note:
        notes.insert(notes.index(LOSS_NOTE) + 1, note)
    if compared.contenders:
        notes.insert(0, "The rows come by test loss, the lowest first.")
    if by_text(arms):
        notes[:0] = [BY_TEXT_NOTE, *without_bytes(arms)]
    return ComparisonTable(
        title=f"{title} (test loss in bits per byte)" if by_text(arms) else title,
        anchor=anchor,
        factor=factor,
        arms=arms,
        frame=frame,
        notes=notes,
        trace=[(arm.label, arm.used["trial"]) for arm in arms],
        compared=compared,
        rate_ranges=rate_ranges(arms),
        forgotten=forgotten,
    )


def _behind_losses(frame: pd.DataFrame) -> int:
    """The place behind the last column of test losses."""
    of_losses = (TEST_LOSS, BITS_PER_BYTE, BEST_LOSS)
    return max((place for place, name in enumerate(frame.columns, 1) if name in of_losses), default=1)


def _by_loss(arms: list[Arm]) -> list[Arm]:
    """Finished arms first, those tested on the same windows together, by mean test loss."""
    order: dict[tuple[object, ...], int] = {}
    for arm in arms:
        order.setdefault(windows(arm), len(order))

    def place(arm: Arm) -> tuple[bool, int, float]:
        loss = arm.test_loss.estimate
        finished = arm.outcome == Outcome.FINISHED and math.isfinite(loss)
        return (False, order[windows(arm)], loss) if finished else (True, 0, 0.0)

    return sorted(arms, key=place)


def _by_level(arms: list[Arm], factor: str | None) -> list[Arm]:
    return sorted(arms, key=lambda arm: _level(arm, factor))


def _level(arm: Arm, factor: str | None) -> tuple[float, str]:
    """Where the rows of an arm come in a table of this factor; arms of one level keep their order."""
    value = arm.config.get(factor) if factor else None
    if value is None or factor == "method":
        return 0, ""
    if factor == "optimizer":
        return float(optimizer_order(value)), ""
    return (float(value), "") if isinstance(value, (int, float)) else (0, show_field(value))
