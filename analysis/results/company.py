"""Which trials had company: others that trained, were evaluated or judged in the same place at the same time.

Neighbours slow a trial down, so its times say as much of them as of itself. Each row tells when and where it was made,
and how long its work took. So a report knows to the second when a trial was busy, also where the trial was interrupted
and went on another day.
"""

import heapq
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from analysis.results.outcomes import Rows, finite
from basis.metrics import PLACE

RAN_ALONE = "ran_alone"
"""Column of the trials: whether nothing else ran where a trial did, while it did; missing where that is unknown."""


class Stretch(NamedTuple):
    """A stretch of time, in seconds since 1970, in which a trial was busy in a place."""

    begin: float
    end: float
    place: str
    trial: str


def ran_alone(reports: Mapping[str, Rows]) -> dict[str, bool]:
    """Whether each trial had its place to itself.

    Args:
        reports: the rows of every trial of a sweep by its directory's name, those of tuning trials too.

    Returns:
        By directory name; without those of which some row does not tell when and where it was made.
    """
    stretches = {trial: own for trial, rows in reports.items() if (own := list(_stretches(trial, rows)))}
    disturbed: set[str] = set()
    busy: dict[str, list[tuple[float, str]]] = {}
    for stretch in sorted(stretch for own in stretches.values() for stretch in own):
        others = busy.setdefault(stretch.place, [])
        while others and others[0][0] <= stretch.begin:
            heapq.heappop(others)
        if beside := {trial for _, trial in others} - {stretch.trial}:
            disturbed |= {*beside, stretch.trial}
        heapq.heappush(others, (stretch.end, stretch.trial))
    known = {trial for trial in stretches if all(map(_is_known, reports[trial]))}
    return {trial: trial not in disturbed for trial in known}


def _stretches(trial: str, rows: Rows) -> Iterator[Stretch]:
    spent = 0.0
    for row in filter(_is_known, rows):
        total = sum(float(row.get(name, 0.0)) for name in ("train_seconds", "evaluation_seconds"))
        yield Stretch(row["clock_seconds"] - max(0.0, total - spent), row["clock_seconds"], row[PLACE], trial)
        spent = total
        if finite(row.get("judged_clock_seconds")) and finite(row.get("reward_seconds")):
            judged = row["judged_clock_seconds"]
            yield Stretch(judged - row["reward_seconds"], judged, row[PLACE], trial)


def _is_known(row: Mapping[str, Any]) -> bool:
    return finite(row.get("clock_seconds")) and isinstance(row.get(PLACE), str)
