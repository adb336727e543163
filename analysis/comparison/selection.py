"""What a best of many is worth: whether it was chosen on the windows that it is reported on, and among how many.

The lowest of many losses is low by luck too: the best of N equal configs looks better than it is, and more so the
larger N is. A loss on windows that had no part in the choice is free of that.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from analysis.comparison.arms import Arm
from analysis.results.experiment import Results
from analysis.wording.phrases import count
from basis.metrics import REWARD_METRICS
from basis.outcomes import Outcome
from basis.stages import Stage

SEARCHES = {"random": "a random search", "optuna": "Optuna"}
"""Searches that try configs in order to find a good one."""


class Searched(NamedTuple):
    """A search that tested all that it tried.

    Attributes:
        search: who searched, in words.
        metric: what it was asked to find the best of.
        tried: how many configs it tried.
    """

    search: str
    metric: str
    tried: int


def search_on_test(results: Results) -> Searched | None:
    """The search that tried its configs on the very windows and prompts that they are reported on; None without one."""
    search = results.spec.get("search")
    if results.trials.empty or search not in SEARCHES:
        return None
    begun = results.trials[~results.trials["outcome"].isin((Outcome.NOT_STARTED, Outcome.REPEATED))]
    return Searched(SEARCHES[search], str(results.spec.get("metric", "test_loss")), int(begun["arm"].nunique()))


def searches_on_test(results: Results) -> Mapping[str, Searched]:
    """By each trial that such a search has tried, in its own sweep, that search; see `search_on_test`."""
    found = [(prefix, sweep, search_on_test(sweep)) for prefix, sweep in _named_sweeps(results)]
    return {
        f"{prefix}{trial}": searched for prefix, sweep, searched in found if searched for trial in sweep.trials["trial"]
    }


def _named_sweeps(results: Results) -> list[tuple[str, Results]]:
    """Each sweep with what the names of its trials begin with."""
    return [(f"{name}/", part) for name, part in results.parts.items()] or [("", results)]


def describe_selection(searches: Sequence[Searched], arms: Sequence[Arm]) -> list[str]:
    """What a report says first of all, where its best was chosen by what it reports.

    Args:
        searches: each search that `search_on_test` found.
        arms: all arms.
    """
    if all(arm.tested_once for arm in arms):
        return []
    return [chosen_by_what_is_reported(searched) for searched in searches if searched.tried > 1]


def chosen_apart(results: Results) -> list[str]:
    """What is said of arms whose settings were chosen on validation windows; none where nothing was chosen so."""
    configs = [results.configs.get(trial) or {} for trial in results.trials["trial"]]
    if results.tuning.empty or not any(config.get("evaluate_on") == Stage.FINAL for config in configs):
        return []
    tried = results.tuning[~results.tuning["outcome"].isin((Outcome.NOT_STARTED, Outcome.REPEATED))]
    return [
        f"Settings were chosen on validation windows, by {count(len(tried), 'trial')} on which no test window or "
        "prompt was used; see Tuning."
    ]


def chosen_by_what_is_reported(searched: Searched) -> str:
    """The sentence about a search on test windows, for the report and its tables."""
    by = searched.metric.replace("_", " ")
    where = "the prompts and test windows" if searched.metric in REWARD_METRICS else "the test windows"
    return (
        f"The best of this sweep was chosen by what is reported: {searched.search}, for {by}, tried "
        f"{count(searched.tried, 'config')} on {where} that they are reported on, so the best of {searched.tried} "
        "looks better here than it would on others."
    )


def best_of_many(number: int) -> str:
    """What is said of the best of so many arms by their test losses; empty for a single one."""
    if number < 2:
        return ""
    return f" It is the best of {number} on the windows that it was chosen by, so its loss flatters it."
