"""The pieces of an experiment's page, as HTML, from what is known of the experiment."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from analysis.verdict.summary import Summary
from analysis.wording.numbers import show_interval
from basis.units import show_bytes, show_decimals
from sweep.live.known.experiment import Experiment
from sweep.live.known.experiment_state import ExperimentState, Stage
from sweep.live.privacy import without_machine
from sweep.progress.progress import Progress, State, TrialProgress
from sweep.progress.terminal import clock
from sweep.progress.time_left import seconds_left
from sweep.steering.ask import answers
from sweep.steering.request import waiting_requests

MOST_TOGETHER = 100
"""Ended trials that are one piece of the page: only the piece that changes is sent again."""
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
)


def render(template: str, **values: Any) -> str:
    """A template of the folder `pages`, filled in."""
    return TEMPLATES.get_template(f"{template}.html.j2").render(values)


@dataclass(frozen=True)
class TrialView:
    """A trial as pages show it: its names, and its numbers as text."""

    name: str
    label: str
    seed: int
    state: str
    step: int
    steps: int
    loss: str
    place: str
    memory: str
    reason: str
    retries: int


def set_parts(experiment: Experiment, name: str, curves: str) -> None:
    """Bring the pieces of an experiment's page up to date.

    Args:
        experiment: it; it has been looked at a moment ago.
        name: by which its pages are asked for.
        curves: the section of its curves.
    """
    progress, state, parts = experiment.progress, experiment.state, experiment.parts
    analysis = experiment.analysis
    summary = analysis.summary if analysis else None
    places = machine_names(progress.trials.values())
    running = progress.in_state(State.RUNNING) if state.moves else []
    views = [trial_view(trial, progress, places) for trial in running]
    sections = analysis.sections if analysis else {}
    lists = list(_ended(progress))
    links = [*sections, *(part for part, _, _ in lists[:1])]
    pieces = {
        "live-progress": _progress_part(experiment, state, summary),
        "live-running": render("running", trials=views, name=name),
        "live-devices": render("devices", devices=_devices(progress, running, places)),
        "live-curves": curves,
        "live-ask": render("ask", moves=state.moves),
        "live-answers": render("answers", answers=shown_answers(experiment)),
        "live-links": render("links", links=links),
        **sections,
    }
    for part, heading, trials in lists:
        shown = [trial_view(trial, progress, places) for trial in trials]
        pieces[part] = render("ended", part=part, heading=heading, trials=shown, name=name)
    parts.set_all(pieces)


def day_and_time(seconds: float | None) -> str:
    """A time in the zone of this machine, to the minute; empty where it is unknown."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def trial_view(trial: TrialProgress, progress: Progress, places: dict[str, str]) -> TrialView:
    """A trial as pages show it."""
    loss = next((trial.metrics[name] for name in progress.losses if name in trial.metrics), math.nan)
    measured = trial.metrics.get("peak_bytes")
    memory = show_bytes(measured) if measured else ""
    if not measured and trial.predicted_peak_bytes:
        memory = f"{show_bytes(trial.predicted_peak_bytes)} predicted"
    return TrialView(
        name=trial.planned.trial,
        label=trial.planned.label,
        seed=trial.planned.seed,
        state=trial.state.value,
        step=trial.step,
        steps=trial.planned.steps,
        loss="" if math.isnan(loss) else show_decimals(loss),
        place=places.get(trial.place, trial.device.upper() if trial.device == "cpu" else trial.device),
        memory=memory,
        reason=without_machine(trial.reason),
        retries=trial.retries,
    )


def machine_names(trials: Iterable[TrialProgress]) -> dict[str, str]:
    """What a page calls the places where trials run: by device and number, without the names of machines."""
    places_of: dict[str, list[str]] = {}
    for place in dict.fromkeys(trial.place for trial in trials if trial.place):
        places_of.setdefault(place.rpartition(" ")[0], []).append(place)
    names: dict[str, str] = {}
    for number, places in enumerate(places_of.values(), 1):
        of_machine = f" of machine {number}" if len(places_of) > 1 else ""
        gpus = [place for place in places if place.rpartition(" ")[2] != "cpu"]
        numbers = {place: f"GPU {index}" for index, place in enumerate(gpus)}
        names |= {place: f"{numbers.get(place, 'CPU')}{of_machine}" for place in places}
    return names


def leader_of(progress: Progress, summary: Summary | None) -> dict[str, Any] | None:
    """The arm that leads with what speaks for it: tested, once two arms have finished; before that so far."""
    placed = [place for board in (summary.boards if summary else ()) for place in board.places if place.rank]
    if placed:
        best, unit = placed[0], summary.boards[0].unit if summary else ""
        facts = [f"{show_interval(best.loss, 4)} {unit}".strip()]
        if len(placed) > 1 and placed[1].gap.known:
            untold = "" if placed[1].differs else ", not told apart"
            facts.append(f"the next, {placed[1].label}, is {show_interval(placed[1].gap, 4)} behind{untold}")
        return {"label": best.label, "facts": facts, "provisional": False}
    if (leader := progress.leader) is None:
        return None
    rest = [standing for standing in progress.standings() if standing.label != leader.label]
    lead = [f"{show_decimals(rest[0].loss - leader.loss)} below {rest[0].label}"] if rest else []
    return {"label": leader.label, "facts": [f"loss {show_decimals(leader.loss)}", *lead], "provisional": True}


def _progress_part(experiment: Experiment, state: ExperimentState, summary: Summary | None) -> str:
    progress, analysis = experiment.progress, experiment.analysis
    left = seconds_left(progress, time.time()) if state.stage == Stage.RUNNING and progress.trials else None
    counts = [(word.value, count) for word, count in progress.counts().items() if count] if progress.trials else []
    took = f"took {clock(state.ended - state.began)}" if state.began and state.ended and not state.moves else ""
    refusal = analysis.refusal if analysis else ""
    if not analysis and state.done:
        refusal = "The report of what has finished is being worked out."
    elif refusal and not (state.moves and not state.done):
        refusal = f"There is no report: {refusal}"
    elif refusal:
        refusal = ""  # nothing has finished yet
    return render(
        "progress",
        state=state,
        left=clock(left) if left else "",
        took=took,
        counts=counts,
        leader=leader_of(progress, summary) if state.moves else None,  # at rest the verdicts say it
        damaged=experiment.damaged_lines,
        no_report=refusal,
    )


def shown_answers(experiment: Experiment, trial: str = "") -> list[dict[str, str]]:
    """What was asked of the sweep, the last first; what waits for its answer before all.

    Args:
        experiment: the sweep.
        trial: of which alone answers are shown, by its name; of all if empty.
    """
    waiting = [
        {"words": "a request", "when": "", "text": "waits for the sweep"}
        for _ in waiting_requests(experiment.directory)
    ]
    decided = [
        {
            "words": decision.words,
            "when": decision.asked,
            "text": f"refused: {decision.answer}" if decision.refused else decision.answer,
        }
        for decision in reversed(answers(experiment.directory).values())
        if not trial or trial in decision.trials or trial in decision.words.split()
    ]
    return [*waiting, *decided]


def _devices(progress: Progress, running: list[TrialProgress], places: dict[str, str]) -> list[dict[str, Any]]:
    """Each place in which trials run, with what they take of its memory."""
    capacities = {device.device: device.capacity_bytes for device in progress.devices}
    shown = []
    for place in dict.fromkeys(trial.place for trial in running if trial.place):
        here = [trial for trial in running if trial.place == place]
        sizes = [(trial.metrics.get("peak_bytes") or trial.predicted_peak_bytes or 0.0) for trial in here]
        capacity = capacities.get(here[0].device) or next(iter(capacities.values()), None)
        whole = max(capacity or 0.0, sum(sizes)) or 1.0
        packed = [
            {"label": t.planned.label, "size": show_bytes(size), "percent": round(100 * size / whole, 1)}
            for t, size in zip(here, sizes, strict=True)
        ]
        measured = all("peak_bytes" in trial.metrics for trial in here)
        shown.append(
            {
                "name": places[place],
                "used": show_bytes(sum(sizes)),
                "capacity": show_bytes(capacity) if capacity else "",
                "basis": "peaks as measured" if measured else "peaks as measured, or predicted before the first report",
                "trials": packed,
            }
        )
    return shown


def _ended(progress: Progress) -> Iterable[tuple[str, str, list[TrialProgress]]]:
    """Ended trials in pieces, those that waited for them least first; then those that wait."""
    ended = [t for t in progress.trials.values() if t.state in (State.FINISHED, State.FAILED, State.STOPPED)]
    ended.sort(key=lambda trial: trial.ended or 0.0)
    waiting = progress.in_state(State.WAITING)
    for kind, word, trials in (("ended", "that have ended", ended), ("waiting", "that wait", waiting)):
        for first in range(0, len(trials), MOST_TOGETHER):
            piece = trials[first : first + MOST_TOGETHER]
            yield f"live-{kind}-{first // MOST_TOGETHER}", f"Trials {word}: {first + 1} to {first + len(piece)}", piece
