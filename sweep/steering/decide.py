"""What a request does to a sweep, or why it is refused. The command and the running sweep decide by the same rules."""

from dataclasses import dataclass
from pathlib import Path

from basis.directory import FINISHED_FILE
from basis.errors import UserError
from sweep.steering.request import Request
from sweep.steering.trials import SweepTrials
from sweep.trial.config import TrialConfig


@dataclass(frozen=True)
class Effect:
    """What a request does.

    Attributes:
        answer: the same in one line.
        stops: names of the trials that it stops.
        starts: names of the stopped trials that it has run on.
        made: the trials that it adds.
        stops_sweep: whether it stops the whole sweep.
    """

    answer: str
    stops: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    made: tuple[TrialConfig, ...] = ()
    stops_sweep: bool = False


def effect_of(request: Request, trials: SweepTrials, experiment_dir: Path) -> Effect:
    """What a request does.

    Args:
        request: what is asked.
        trials: those of the sweep.
        experiment_dir: the sweep's.

    Raises:
        UserError: why it is refused.
    """
    match request.action:
        case "stop":
            return _stop(request.trial, trials, experiment_dir)
        case "start":
            return _start(request.trial, trials)
        case "add":
            return _makes([trials.added(request.values)])
        case "clone":
            return _makes([trials.cloned(request.trial or "", request.values)])
        case "seeds":
            to_come = trials.arms_to_come if request.trial is None else 0
            arms = "the arm that is" if to_come == 1 else f"the {to_come} arms that are"
            later = f"; ask again for {arms} not tested yet" if to_come else ""
            return _makes(trials.with_further_seeds(request.seeds, request.trial), later)


def _stop(name: str | None, trials: SweepTrials, experiment_dir: Path) -> Effect:
    if name is None:
        return Effect("the sweep stops as after Ctrl-C; --resume continues it", stops_sweep=True)
    trial = trials.named(name).name
    if (experiment_dir / trial / FINISHED_FILE).exists():
        raise UserError(f"{trial} has finished already")
    if trial in trials.stopped:
        raise UserError(f"{trial} is stopped already")
    return Effect(f"{trial} stops at its next report; start {trial} has it run on", stops=(trial,))


def _start(name: str | None, trials: SweepTrials) -> Effect:
    trial = trials.named(name or "").name
    if trial not in trials.stopped:
        stopped = ", ".join(sorted(trials.stopped))
        raise UserError(f"{trial} was not stopped by request; accepted: {stopped or 'none, for nothing was stopped'}")
    return Effect(f"{trial} runs on", starts=(trial,))


def _makes(made: list[TrialConfig], remark: str = "") -> Effect:
    names = [trial.name for trial in made]
    told = names[0] if len(names) == 1 else f"{len(names)} trials: {', '.join(names)}"
    return Effect(f"added {told}{remark}", made=tuple(made))
