"""What all sections of a report stand on, derived from the directory's content once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.comparison.arms import Arm, group_arms, rows_by_trial
from analysis.comparison.choices import Group, group_of, looks_at
from analysis.comparison.selection import Searched, search_on_test
from analysis.results.experiment import Results
from analysis.results.outcomes import FINISHED, NOT_STARTED, REPEATED


@dataclass(frozen=True)
class Evidence:
    """The arms of a sweep and how they came about.

    Attributes:
        results: the directory's content.
        arms: all arms, in the order in which their trials come.
        looks: how often arms may have been tested while seeds were added, see `choices.looks_at`.
        searched: the search that chose its best on what is reported; None without one.
        answers: the responses of each trial, by its directory's name.
        competing: the tuning trials that have begun, by the group in which they compete.
    """

    results: Results
    arms: list[Arm]
    looks: int
    searched: Searched | None
    answers: Mapping[str, pd.DataFrame]
    competing: Mapping[Group, Sequence[str]]

    @property
    def finished(self) -> list[Arm]:
        """The arms that finished, which alone are compared."""
        return [arm for arm in self.arms if arm.outcome == FINISHED]


def evidence_of(results: Results) -> Evidence:
    """Derive what the sections of a report stand on.

    Args:
        results: the directory's content.
    """
    competing: dict[Group, list[str]] = {}
    started = results.tuning[~results.tuning["outcome"].isin((NOT_STARTED, REPEATED))]
    for trial in started["trial"]:
        competing.setdefault(group_of(results.spec, results.configs.get(trial, {})), []).append(trial)
    return Evidence(
        results=results,
        arms=group_arms(results),
        looks=looks_at(results.spec),
        searched=search_on_test(results),
        answers=rows_by_trial(results.responses),
        competing=competing,
    )
