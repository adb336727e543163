"""Doubts about a sweep's results as they lie there: what is damaged or missing, seeds and windows, shared dialogues."""

from collections.abc import Iterator
from dataclasses import replace

from analysis.comparison.evidence import Evidence
from analysis.results.experiment import Results
from analysis.results.outcomes import finite
from analysis.verdict.remedies import again_with, resume
from analysis.verdict.summary import Doubt
from analysis.wording.phrases import count, join
from basis.metrics import NOT_JUDGED
from basis.outcomes import Outcome
from basis.scripts import as_called, typed

ENOUGH_SEEDS = 3
FEW_WINDOWS = 30
"""Test windows below which a mean over them is a weak basis."""
ASKED_WINDOWS = 100
UNFINISHED = (Outcome.INTERRUPTED, Outcome.NOT_STARTED, Outcome.FAILED)
"""Outcomes of trials that a resumed sweep runs again."""
GRAVE_LEAK = 0.01
"""Share of test dialogues in train, word for word, from which losses say little."""


def doubts_of_data(evidence: Evidence) -> Iterator[Doubt]:
    """The doubts about what a sweep's directory holds.

    Args:
        evidence: what the sweep's report stands on.
    """
    if damaged := evidence.results.damaged:
        remedy = resume(next((sweep for sweep in evidence.results.sweeps if sweep.damaged), evidence.results))
        yield Doubt("damaged files", " ".join(damaged), remedy, "low")
    if unlike := evidence.results.unlike_repeats:
        yield Doubt("a trial run twice ended otherwise", " ".join(unlike), "", "low")
    yield from _seeds(evidence)
    yield from _unfinished(evidence)
    yield from _leaks(evidence)
    yield from _windows(evidence)


def _seeds(evidence: Evidence) -> Iterator[Doubt]:
    """How few seeds stand behind an arm; adaptive seeds go to those that need them, so that the most count."""
    if not evidence.finished:
        yield Doubt("no finished trial", "Without a finished trial there is nothing to compare.", "", "low")
        return
    numbers = [len(arm.used) for arm in evidence.finished]
    seeds = max(numbers) if evidence.looks > 1 else min(numbers)
    if seeds >= ENOUGH_SEEDS:
        return
    some = " in some arms" if max(numbers) > seeds else ""
    words = "one seed" if seeds == 1 else "two seeds"
    means = (
        "How far another seed would move a loss is unknown: the tests speak of these trained models alone."
        if seeds == 1
        else "A spread over two seeds is itself uncertain, so the intervals are wide and differences are missed."
    )
    yield Doubt(
        f"{words}{some}",
        f"{'An arm' if some else 'Every arm'} has {words} alone. {means}",
        "" if _planned_seeds(evidence) >= ENOUGH_SEEDS else again_with(evidence.results, seeds=str(ENOUGH_SEEDS)),
        "low" if seeds == 1 else "medium",
    )


def _planned_seeds(evidence: Evidence) -> int:
    """The most seeds that an arm was meant to have: to ask for as many again brings no more."""
    listed = [sweep.spec.get("seeds") for sweep in evidence.results.sweeps]
    return max(
        len(planned) if isinstance(planned, list) else planned if isinstance(planned, int) else 1 for planned in listed
    )


def _unfinished(evidence: Evidence) -> Iterator[Doubt]:
    """Trials that are missing or were not judged, and arms that lack seeds for good."""
    results = evidence.results
    trials = results.trials
    if "outcome" not in trials:
        return
    missing = trials[trials["outcome"].isin(UNFINISHED)]
    if len(missing):
        arms = join(list(dict.fromkeys(missing["arm"])))
        yield Doubt(
            f"{len(missing)} of {count(len(trials), 'trial')} unfinished",
            f"Unfinished: {arms}. What they would show is not in the verdicts.",
            resume(results.sweep_of(missing["trial"].iloc[0])),
            "medium",
        )
    waiting = {*missing["arm"]}
    if short := [arm for arm in evidence.finished if arm.shortfall and arm.label not in waiting]:
        each = join([f"{arm.label} ({arm.shortfall})" for arm in short])
        detail = f"Losses are those of the finished seeds alone, which may flatter: {each}."
        yield Doubt(f"{count(len(short), 'arm')} without all seeds", detail, "", "medium")
    finished = trials[trials["outcome"] == Outcome.FINISHED]
    if NOT_JUDGED in finished and len(lost := finished[finished[NOT_JUDGED].notna()]):
        judge = as_called("sweep.reward_metric", typed(results.sweep_of(lost["trial"].iloc[0]).directory))
        yield Doubt(f"{count(len(lost), 'trial')} not judged", "Trained, but without rewards.", judge, "medium")


def _leaks(evidence: Evidence) -> Iterator[Doubt]:
    """Test dialogues that are in train, or open as one there does."""
    if not evidence.results.parts:
        yield from _leaks_of(evidence, evidence.results)
        return
    doubts: dict[str, Doubt] = {}
    for name, sweep in evidence.results.parts.items():
        for doubt in _leaks_of(evidence, sweep):
            before = f"{doubts[doubt.reason].detail} " if doubt.reason in doubts else ""
            doubts[doubt.reason] = replace(doubt, detail=f"{before}{name}: {doubt.detail}")
    yield from doubts.values()


def _leaks_of(evidence: Evidence, sweep: Results) -> Iterator[Doubt]:
    """The same of one of the sweeps."""
    data = sweep.sweep.get("data")
    known = data if isinstance(data, dict) else {}
    if evidence.finished and not finite(known.get("overlap_exact")):
        detail = "No record says whether test dialogues occur in train, where a low loss would tell memory."
        yield Doubt("test text in train unchecked", detail, "", "medium")
    exact, opening, number = (known.get(name) for name in ("overlap_exact", "overlap_opening", "test_dialogues"))
    exact, opening = (int(value) if finite(value) and value else 0 for value in (exact, opening))
    of = f"/{int(number)}" if finite(number) and number else ""
    if exact:
        detail = f"{exact:,} test dialogues also occur in train, word for word: their loss tells memory."
        grave = not of or exact >= GRAVE_LEAK * int(number or 1)
        yield Doubt(f"{exact}{of} test dialogues in train", detail, "", "low" if grave else "medium")
    if opening > exact:
        detail = (
            f"{opening - exact:,} test dialogues open with the same human turn as a train dialogue, and go on "
            "otherwise: on these a model is tested on questions that it was trained to answer."
        )
        yield Doubt(f"{opening - exact}{of} test openings in train", detail, "", "medium")


def _windows(evidence: Evidence) -> Iterator[Doubt]:
    """Losses over few test windows."""
    kept = [len(losses) for arm in evidence.finished for losses in arm.window_losses.values()]
    asked = [arm.config.get("test_windows") for arm in evidence.finished]
    numbers = kept or [number for number in asked if isinstance(number, int)]
    if numbers and min(numbers) < FEW_WINDOWS:
        given = max((number for number in asked if isinstance(number, int)), default=0)
        more = again_with(evidence.results, trial__test_windows=str(ASKED_WINDOWS))
        yield Doubt(
            count(min(numbers), "test window"),
            f"A test loss is a mean over {count(min(numbers), 'window')}: other windows may order the arms otherwise.",
            more if given <= min(numbers) else "",  # else the test set has no more
            "medium",
        )
