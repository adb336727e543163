"""Asks a running sweep for something: what the command and the page do."""

import time
from pathlib import Path

from basis.control_record import Decision, read_decisions, stopped_trials
from basis.directory import CONTROL_DIR, EVENTS_FILE, SPEC_FILE
from basis.errors import UserError
from basis.scripts import as_called
from sweep.progress.event_file import read_progress
from sweep.progress.events import OverEvent
from sweep.spec_file.load import load_kept_plan
from sweep.steering.decide import effect_of
from sweep.steering.request import Request, write_request
from sweep.steering.trials import sweep_trials
from sweep.storage.claim import is_claimed

POLL_SECONDS = 0.1
"""Between two looks for an answer."""


def ask_and_wait(experiment_dir: Path, request: Request, seconds: float) -> Decision | None:
    """Ask the running sweep of a directory, and wait for its answer; see `ask` and `await_answer`."""
    return await_answer(experiment_dir, ask(experiment_dir, request), seconds)


def ask(experiment_dir: Path, request: Request) -> str:
    """Leave a request for the running sweep of a directory, if nothing speaks against it yet.

    The sweep decides again, by the same rules and by what only it knows, such as memory.

    Returns:
        The request's id.

    Raises:
        UserError: the directory holds no sweep, the sweep does not run, or the request is refused.
        DiskError: the directory can't be written.
    """
    check_running(experiment_dir)
    decisions = read_decisions(experiment_dir)
    plan = load_kept_plan(experiment_dir)
    effect_of(request, sweep_trials(plan, experiment_dir, decisions, stopped_trials(decisions)), experiment_dir)
    return write_request(experiment_dir, request)


def answers(experiment_dir: Path) -> dict[str, Decision]:
    """What the sweep of a directory has decided so far, in its order, by the requests' ids."""
    return {decision.id: decision for decision in read_decisions(experiment_dir)}


def await_answer(experiment_dir: Path, request_id: str, seconds: float) -> Decision | None:
    """Wait for the answer to a request.

    Returns:
        What the sweep has decided; None: nothing within so many seconds, and the request still waits.

    Raises:
        UserError: the sweep has ended; the request is withdrawn.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        runs = is_claimed(experiment_dir)
        if request_id in (decided := answers(experiment_dir)):
            return decided[request_id]
        if not runs:
            (experiment_dir / CONTROL_DIR / f"{request_id}.json").unlink(missing_ok=True)
            raise not_running(experiment_dir)
        time.sleep(POLL_SECONDS)
    return None


def check_running(experiment_dir: Path) -> None:
    """Refuse a directory without a running sweep.

    Raises:
        UserError: it holds no sweep, or none that runs.
    """
    if not (experiment_dir / SPEC_FILE).is_file():
        raise UserError(f"{experiment_dir}: no {SPEC_FILE} in it; name the directory of a running sweep")
    if not is_claimed(experiment_dir):
        raise not_running(experiment_dir)


def not_running(experiment_dir: Path) -> UserError:
    """What is said of a sweep that does not run."""
    return not_running_by(experiment_dir / EVENTS_FILE, str(experiment_dir))


def not_running_by(events_file: Path, named: str) -> UserError:
    """What is said of a sweep that does not run.

    Args:
        events_file: what has happened in it.
        named: how the user names where it keeps its results.
    """
    match read_progress(events_file).over:
        case OverEvent(failed=0, interrupted=0):
            return UserError(
                f"{named}: its sweep has finished and takes no requests; run what is missing as another sweep"
            )
    return UserError(f"{named}: its sweep is not running; go on with: {as_called('sweep.run', '--resume', named)}")
