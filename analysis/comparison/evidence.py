"""What all sections of a report stand on, derived from the directory's content once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.comparison.arms import Arm
from analysis.comparison.by_request import ByRequest, by_request
from analysis.comparison.by_seed import rows_by_trial
from analysis.comparison.choices import Group, group_of, looks_at, searched_fields, searched_for
from analysis.comparison.grouping import group_arms
from analysis.comparison.loss_metric import by_one_metric
from analysis.comparison.selection import Searched, searches_on_test
from analysis.results.experiment import Results
from basis.outcomes import Outcome


@dataclass(frozen=True)
class Evidence:
    """The arms of a sweep and how they came about.

    Attributes:
        results: the directory's content.
        arms: all arms, in the order in which their trials come, compared by one metric; a table decides its own.
        tuning_arms: the tuning trials as arms of one trial each, so that what works on arms works on them.
        looks: how often arms may have been tested while seeds were added, see `choices.looks_at`.
        answers: the responses of each trial, by its directory's name.
        searches: the searches that chose their best on what is reported, by the trials that they tried.
        tuned: fields whose values were chosen on validation windows, in any branch of the space.
        chosen: the same in the branch that a trial comes from, by its directory's name; none for an arm that was added
            by request.
        groups: the group in which a trial competes, by its directory's name.
        requested: what was asked of the sweep while it ran.
    """

    results: Results
    arms: list[Arm]
    tuning_arms: list[Arm]
    looks: int
    answers: Mapping[str, pd.DataFrame]
    searches: Mapping[str, Searched]
    tuned: list[str]
    chosen: Mapping[str, list[str]]
    groups: Mapping[str, Group]
    requested: ByRequest

    @cached_property
    def searched(self) -> list[Searched]:
        """The searches, each once; none where nothing was chosen by what is reported."""
        return list(dict.fromkeys(self.searches.values()))

    @property
    def finished(self) -> list[Arm]:
        """The arms that finished, which alone are compared."""
        return [arm for arm in self.arms if arm.outcome == Outcome.FINISHED]

    @cached_property
    def competing(self) -> dict[Group, list[str]]:
        """The tuning trials that have begun, by the group in which they compete; not those stopped by request."""
        tuning = self.results.tuning
        competing: dict[Group, list[str]] = {}
        none = (Outcome.NOT_STARTED, Outcome.REPEATED, Outcome.STOPPED_BY_REQUEST)
        for trial in tuning.loc[~tuning["outcome"].isin(none), "trial"]:
            competing.setdefault(self.groups[trial], []).append(trial)
        return competing


def evidence_of(results: Results) -> Evidence:
    """Derive what the sections of a report stand on.

    Args:
        results: the directory's content.
    """
    tuning = results.tuning
    trials = [*results.trials["trial"], *tuning["trial"]]
    configs = {trial: results.configs.get(trial, {}) for trial in trials}
    specs = {trial: results.sweep_of(trial).spec for trial in trials}
    as_arms = replace(results, trials=tuning.assign(arm=tuning["trial"]))
    requested = by_request(results)
    by_hand = set(results.trials.loc[results.trials["arm"].isin(requested.added.keys()), "trial"])
    return Evidence(
        results=results,
        arms=by_one_metric(group_arms(results)),
        tuning_arms=[] if tuning.empty else by_one_metric(group_arms(as_arms)),
        answers=rows_by_trial(results.responses),
        looks=max(looks_at(sweep.spec) for sweep in results.sweeps),
        tuned=list(dict.fromkeys(name for sweep in results.sweeps for name in searched_fields(sweep.spec))),
        chosen={
            trial: [] if trial in by_hand else searched_for(specs[trial], config) for trial, config in configs.items()
        },
        groups={trial: _group(results, trial, config) for trial, config in configs.items()},
        searches=searches_on_test(results),
        requested=requested,
    )


def _group(results: Results, trial: str, config: Mapping[str, Any]) -> Group:
    """The group of a trial within its sweep: each sweep chooses among its own trials."""
    index, compared = group_of(results.sweep_of(trial).spec, config)
    return (index, f"{results.origins[trial]}: {compared}") if trial in results.origins else (index, compared)
