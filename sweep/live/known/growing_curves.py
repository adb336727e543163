"""The arms' curves of a running sweep, and which points of them a page has not been sent yet."""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.curves.arm_curve import ArmCurve, arm_curves

DRAWN = ("test_loss", "test_bits_per_byte", "validation_loss", "train_loss")
"""Metrics that have curves."""
_COLUMNS = (*DRAWN, "tokens_seen", "train_seconds")
_LISTS = tuple(name for name in ArmCurve._fields if name != "arm")


class GrowingCurves:
    """Rows of trials as they come, and the curves of the arms, thinned."""

    def __init__(self) -> None:
        """No rows yet."""
        self._arm_of: dict[str, str] = {}
        self._trials_of: dict[str, list[str]] = defaultdict(list)
        self._rows: dict[str, dict[str, array[float]]] = {}
        self._unread: set[str] = set()
        self._curves: dict[tuple[str, str], ArmCurve] = {}
        self._changes: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)

    def start(self, trial: str, arm: str) -> None:
        """A trial belongs to an arm; one that starts again goes on with its rows."""
        if trial not in self._arm_of:
            self._arm_of[trial] = arm
            self._trials_of[arm].append(trial)
            self._rows[trial] = _no_rows()

    def add(self, trial: str, step: int, metrics: Mapping[str, float]) -> None:
        """A row of a trial. One that continues from a checkpoint repeats steps; the later row counts."""
        if (columns := self._rows.get(trial)) is None:
            return
        known = bisect_left(columns["step"], step)
        for name, column in columns.items():
            del column[known:]
            column.append(step if name == "step" else metrics.get(name, np.nan))
        self._unread.add(self._arm_of[trial])

    def drop(self, trial: str) -> None:
        """A trial has failed: its rows are no part of its arm's curve any more, until it starts again."""
        if trial in self._rows:
            self._rows[trial] = _no_rows()
            self._unread.add(self._arm_of[trial])

    def trial_rows(self, trial: str) -> pd.DataFrame:
        """The rows of one trial, with the columns that `arm_curves` reads; the trial itself stands as arm."""
        columns = self._rows.get(trial) or _no_rows()
        return pd.DataFrame({"arm": trial, "trial": trial, **{name: np.array(c) for name, c in columns.items()}})

    def rows(self) -> pd.DataFrame:
        """The rows of all trials, with the columns that figures of curves are drawn from."""
        frames = [self.trial_rows(trial).assign(arm=arm) for trial, arm in self._arm_of.items()]
        return pd.concat(frames, ignore_index=True) if frames else self.trial_rows("").iloc[:0]

    def refresh(self, number: int) -> bool:
        """Work out the curves of the arms that have new rows, as of the change of this number; whether any changed."""
        arms = sorted(self._unread)
        self._unread.clear()
        frames = [self.trial_rows(trial).assign(arm=arm) for arm in arms for trial in self._trials_of[arm]]
        if not frames:
            return False
        rows = pd.concat(frames, ignore_index=True)
        curves = {(metric, curve.arm): curve for metric in DRAWN for curve in arm_curves(rows, metric)}
        gone = {key: _empty(key[1]) for key in self._curves if key[1] in arms and key not in curves}
        replaced = [self._replace(key, curve, number) for key, curve in {**curves, **gone}.items()]
        return any(replaced)

    def _replace(self, key: tuple[str, str], curve: ArmCurve, number: int) -> bool:
        before = self._curves.get(key)
        self._curves[key] = curve
        index = 0 if before is None else _first_difference(before, curve)
        if index is None:
            return False
        changes = self._changes[key]
        while changes and changes[-1][1] >= index:
            changes.pop()  # the new change sends those points again
        changes.append((number, index))
        return True

    def changed(self, known: int) -> dict[str, dict[str, dict[str, Any]]]:
        """What a page that knows the changes up to a number lacks: by metric and arm, the points from `start` on."""
        lacking: dict[str, dict[str, dict[str, Any]]] = {}
        for (metric, arm), changes in self._changes.items():
            indexes = [index for number, index in changes if number > known]
            if indexes:
                start, curve = min(indexes), self._curves[metric, arm]
                points = {name: _without_nan(getattr(curve, name)[start:]) for name in _LISTS}
                lacking.setdefault(metric, {})[arm] = {"start": start, **points}
        return lacking


def _no_rows() -> dict[str, "array[float]"]:
    return {name: array("d") for name in ("step", *_COLUMNS)}


def _empty(arm: str) -> ArmCurve:
    return ArmCurve(arm, [], [], [], [], [], [], [])


def _first_difference(before: ArmCurve, after: ArmCurve) -> int | None:
    """The first point that differs; None for equal curves."""
    pairs = zip(*(getattr(curve, name) for name in _LISTS for curve in (before, after)), strict=False)
    shorter = min(len(before.step), len(after.step))
    for index, values in enumerate(pairs):
        if any(a != b and not (a != a and b != b) for a, b in zip(values[::2], values[1::2], strict=True)):
            return index
    return shorter if len(before.step) != len(after.step) else None


def _without_nan(values: list[Any]) -> list[Any]:
    """JSON has no NaN."""
    return [None if value != value else value for value in values]
