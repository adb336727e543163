"""Asks the sweep of an experiment where it keeps its results: in a directory, or in object storage."""

from basis.control_record import Decision
from sweep.live.known.experiment import Experiment
from sweep.steering.ask import ask_and_wait
from sweep.steering.request import Request


def ask_sweep_of(experiment: Experiment, asked: Request, seconds: float) -> Decision | None:
    """Ask, and wait so many seconds for the answer.

    Returns and raises as `sweep.steering.ask.await_answer`.
    """
    if experiment.place is None:
        return ask_and_wait(experiment.directory, asked, seconds)
    from sweep.steering.ask_stored import ask_stored  # imports pyarrow

    return ask_stored(experiment.place, "DIR", asked, seconds)
