"""What somebody asked of the sweep while it ran, by the arms that it concerns: added arms, further seeds, stops."""

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.comparison.frame_rows import rows_by
from analysis.results.experiment import Results
from basis.control_record import Decision
from basis.outcomes import Outcome


@dataclass(frozen=True)
class ByRequest:
    """The requests that a report tells, by the labels of arms.

    Attributes:
        added: arms of which every trial was added or cloned by request, with the first such decision.
        reseeded: other arms that got further seeds by request, with these decisions, one for each such trial.
        stopped: arms with trials that were stopped by request, with a sentence's part for each: its name and why.
    """

    added: Mapping[str, Decision]
    reseeded: Mapping[str, list[Decision]]
    stopped: Mapping[str, list[str]]


def by_request(results: Results) -> ByRequest:
    """Find the arms and trials that requests have made or stopped.

    Args:
        results: the directory's content.
    """
    made = {trial: decision for decision in results.control if decision.made for trial in decision.trials}
    added: dict[str, Decision] = {}
    reseeded: dict[str, list[Decision]] = {}
    stopped: dict[str, list[str]] = {}
    for label, trials in rows_by(results.trials, "arm").items():
        decisions = [made[trial] for trial in trials["trial"] if trial in made]
        if len(decisions) == len(trials):
            added[label] = min(decisions, key=lambda decision: decision.decided)
        elif decisions:
            reseeded[label] = decisions
        ended = trials.where([outcome == Outcome.STOPPED_BY_REQUEST for outcome in trials["outcome"]])
        if len(ended):
            named = zip(ended["trial"], ended["reason"], strict=True)
            stopped[label] = [f"{trial} ({reason})" for trial, reason in named]
    return ByRequest(added, reseeded, stopped)
