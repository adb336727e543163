"""How far a sweep is, as parts of JSON documents."""

from basis.documents.part import iso_time, plain
from basis.documents.progress import CountsPart, LeaderPart, ProgressDocument, TrialPart
from sweep.progress.events import Event, OverEvent, SweepEvent
from sweep.progress.progress import Progress, TrialProgress
from sweep.progress.time_left import seconds_left


def progress_document(progress: Progress, event: Event) -> ProgressDocument:
    """What has just happened, and how far the sweep is with it."""
    trial = None if isinstance(event, SweepEvent | OverEvent) else progress.trials.get(event.trial)
    return ProgressDocument(
        event=event.event,
        time=iso_time(event.time) or "",
        trial=trial and trial_part(trial),
        counts=counts_part(progress),
        total=progress.total,
        seconds_left=seconds_left(progress, event.time),
        leader=leader_part(progress),
    )


def counts_part(progress: Progress) -> CountsPart:
    """How many trials are how far."""
    return CountsPart(**{state.value: number for state, number in progress.counts().items()})


def leader_part(progress: Progress) -> LeaderPart | None:
    """The best arm so far; None before any has a loss."""
    leader, metric = progress.leader, progress.deciding_loss
    return LeaderPart(arm=leader.label, loss=leader.loss, metric=metric) if leader and metric else None


def trial_part(trial: TrialProgress) -> TrialPart:
    """How far a trial is."""
    planned = trial.planned
    return TrialPart(
        trial=planned.trial,
        arm=planned.label,
        seed=planned.seed,
        state=trial.state.value,
        step=trial.step,
        steps=planned.steps,
        metrics=plain(trial.metrics),
        reason=trial.reason,
    )
