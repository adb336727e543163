"""The list of a folder's experiments, and several of them side by side."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from analysis.verdict.summary import Place
from analysis.wording.numbers import show_interval
from basis.errors import name_failure
from basis.units import show_decimals
from sweep.live.known.experiment import Experiment
from sweep.live.known.experiment_state import ExperimentState, Stage
from sweep.live.known.folder import Folder
from sweep.live.known.parts import Parts
from sweep.live.views.experiment_view import day_and_time, leader_of, render
from sweep.progress.terminal import clock

MOST_ANALYSED = 50
"""Experiments of a list, the youngest, whose verdict is worked out; the others tell theirs when they are opened."""

MOST_READING_SECONDS = 1.0
"""For which events that nobody has read yet are read for one answer; the rest is read for the next ones."""
DAMAGED = "damaged"


@dataclass(frozen=True)
class ExperimentRow:
    """An experiment in a list: its state and what it shows, as text."""

    name: str
    stage: str
    done: int = 0
    total: int = 0
    began: str = ""
    took: str = ""
    verdict: str = ""


async def set_experiments(parts: Parts, folder: Folder, follow: Callable[[Path], Experiment]) -> bool:
    """Bring the list of experiments up to date.

    Args:
        parts: of the page.
        folder: where they lie.
        follow: gives what is known of one of them.

    Returns:
        Whether any of them runs, or is being read or analysed.
    """
    rows, moves, reading = [], False, 0.0
    for number, (name, path) in enumerate(folder.experiments().items()):
        experiment, began = follow(path), time.monotonic()
        was_read = experiment.is_read
        try:
            if was_read or reading < MOST_READING_SECONDS:
                await experiment.look(analysed=number < MOST_ANALYSED)
            reading += 0.0 if was_read else time.monotonic() - began
            rows.append(experiment_row(name, experiment, experiment.state))
            moves |= experiment.state.moves or not experiment.is_read or experiment.is_being_analysed
        except Exception as error:  # one damaged experiment must not hide the others
            rows.append(ExperimentRow(name, DAMAGED, verdict=name_failure(error)))
    parts.set_all({"experiments": render("experiments", experiments=rows, may_start=folder.may_start)})
    return moves


def experiment_row(name: str, experiment: Experiment, state: ExperimentState) -> ExperimentRow:
    """An experiment in a list. One that can't be read says why, and stands among the others."""
    analysis = experiment.analysis
    damaged = bool(analysis and analysis.refusal and not state.moves and state.stage != Stage.GONE)
    took = clock(state.ended - state.began) if state.began and state.ended else ""
    return ExperimentRow(
        name=name,
        stage=DAMAGED if damaged else state.stage.value if experiment.is_read else "reading",
        done=state.done,
        total=state.total,
        began=day_and_time(state.began),
        took=took,
        verdict=analysis.refusal if analysis and damaged else _in_short(experiment, state),
    )


@dataclass(frozen=True)
class Comparison:
    """What one experiment shows, beside others.

    Attributes:
        name: the experiment's.
        leader: its best arm; empty where none is known.
        loss: that arm's, with its interval.
        metric: what that loss is, with its unit.
        base: the base model's.
        ahead: how far the next arm is behind.
        trust: how far to trust it, and why not further.
        why: what else has to be known, such as why there is nothing to compare.
    """

    name: str
    leader: str = ""
    loss: str = ""
    metric: str = ""
    base: str = ""
    ahead: str = ""
    trust: str = ""
    why: str = ""


def comparison(experiment: Experiment) -> list[Comparison]:
    """An experiment's leaders, one for each kind of windows that its arms are tested on."""
    name, analysis = experiment.directory.name, experiment.analysis
    summary = analysis.summary if analysis else None
    boards = [board for board in (summary.boards if summary else ()) if board.places and board.places[0].rank]
    if summary is None or not boards:
        refusal = analysis.refusal if analysis else "Its report is being worked out; load this page again in a moment."
        return [Comparison(name, why=refusal or "No arm has finished.")]
    trust = ": ".join([summary.trust.level, ", ".join(doubt.reason for doubt in summary.trust.doubts)]).rstrip(": ")
    rows = []
    for board in boards:
        best, rest = board.places[0], [place for place in board.places[1:] if place.gap.known]
        rows.append(
            Comparison(
                name=f"{name}: {board.title}" if board.title else name,
                leader=best.label,
                loss=show_interval(best.loss, 4),
                metric=f"{board.metric.replace('_', ' ')}, {board.unit}",
                base=show_decimals(board.base_loss) if board.base_loss == board.base_loss else "",
                ahead=_ahead(rest[0]) if rest else "",
                trust=trust,
            )
        )
    return rows


def _ahead(second: Place) -> str:
    untold = {True: "", False: ", not told apart", None: ", untested"}[second.differs]
    return f"{show_interval(second.gap, 4, signed=True)} to {second.label}{untold}"


def _in_short(experiment: Experiment, state: ExperimentState) -> str:
    """The verdict in a line; what is known of the leader before there is one."""
    summary = experiment.analysis.summary if experiment.analysis else None
    if summary is not None and summary.verdicts:
        verdict = summary.verdicts[0]
        return f"{verdict.title}: {verdict.headline}" + "".join(f" · {fact}" for fact in verdict.facts[:2])
    if leader := leader_of(experiment.progress, summary):
        return f"leads so far: {leader['label']} · {leader['facts'][0]}"
    return "" if experiment.analysis or not state.done else "…"
