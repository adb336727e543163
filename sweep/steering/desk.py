"""The running sweep's side of requests: takes them, decides, records, and hands what follows to the search.

A request's file is removed last, when its decision is on disk. So a process that is killed loses no request, and one
that is found again after its decision is only removed: none is carried out twice.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from basis.control_record import Decision, read_decisions, stopped_trials
from basis.directory import CONTROL_FILE, FINISHED_FILE
from basis.errors import UserError, name_failure
from sweep.search_space import SweepPlan
from sweep.steering.ask import not_running
from sweep.steering.decide import Effect, effect_of
from sweep.steering.request import Request, read_request, waiting_requests
from sweep.steering.trials import SweepTrials, made_trials, sweep_trials
from sweep.trial.config import TrialConfig

TAKE_SECONDS = 1.0
"""Least time between two looks for requests."""


class Waiting(NamedTuple):
    """A trial that a request has made or has start again.

    Attributes:
        name: the trial's.
        proposal: the trial as Ray is given it.
        is_planned: whether the sweep itself runs it too, so that its search may be about to propose it.
    """

    name: str
    proposal: dict[str, Any]
    is_planned: bool


class Desk:
    """Where a running sweep takes requests.

    Attributes:
        experiment_dir: the sweep's.
        made: names of the trials that requests have made.
        stopped: the trials that were stopped by request, by name, each with the decision.
        stops_sweep: whether the whole sweep was asked to stop since it began or went on.
    """

    def __init__(
        self,
        experiment_dir: Path,
        plan: SweepPlan,
        propose: Callable[[TrialConfig], dict[str, Any]],
        tell: Callable[[Decision], None],
    ) -> None:
        """Begin with what was decided before: trials that were made then are to run again, finished ones are not.

        Args:
            experiment_dir: the sweep's.
            plan: the sweep.
            propose: makes of a trial what Ray is given; refuses one that does not fit with a UserError.
            tell: told each decision.

        Raises:
            UserError: a trial that was made before does not fit any more, or is not recorded as it was.
        """
        self.experiment_dir, self._plan, self._propose, self._tell = experiment_dir, plan, propose, tell
        self._decisions = read_decisions(experiment_dir)
        self.stopped = stopped_trials(self._decisions)
        self.stops_sweep = False
        made = made_trials(experiment_dir, self._decisions)
        self.made = {trial.name for trial in made}
        again = [trial for trial in made if trial.name not in self.stopped]
        self._waiting = deque(Waiting(trial.name, propose(trial), is_planned=False) for trial in again)
        self._taken = -TAKE_SECONDS

    def next_trial(self) -> Waiting | None:
        """The next trial that requests have made or have start again; None: there is none."""
        return self._waiting.popleft() if self._waiting else None

    def take(self, *, at_once: bool = False) -> None:
        """Decide the requests that wait: at once, or if some time has passed since the last look."""
        if not at_once and time.monotonic() - self._taken < TAKE_SECONDS:
            return
        self._decide_all(self._effect)
        self._taken = time.monotonic()

    def close(self) -> None:
        """Refuse the requests that still wait, since the sweep is over."""

        def refuse(request: Request, trials: SweepTrials) -> Effect:
            raise not_running(self.experiment_dir)

        self._decide_all(refuse)

    def _effect(self, request: Request, trials: SweepTrials) -> Effect:
        return effect_of(request, trials, self.experiment_dir)

    def _decide_all(self, effect: Callable[[Request, SweepTrials], Effect]) -> None:
        decided = {decision.id for decision in self._decisions}
        for path in waiting_requests(self.experiment_dir):
            try:
                request = None if path.stem in decided else read_request(path)
            except UserError:  # it is no request, so nobody waits for an answer
                with suppress(OSError):
                    path.rename(path.with_suffix(".damaged"))
                continue
            except OSError:  # such as another user's file; it keeps no other request up
                continue
            try:
                if request is not None:
                    self._decide(path.stem, request, effect)
                path.unlink(missing_ok=True)
            except OSError:  # a disk that is full, say: it stays, and is decided when it can be recorded
                return

    def _decide(self, request_id: str, request: Request, effect: Callable[[Request, SweepTrials], Effect]) -> None:
        """Decide a request, record the decision, and only then have it count."""
        try:
            trials = sweep_trials(self._plan, self.experiment_dir, self._decisions, self.stopped)
            follows = effect(request, trials)
            again = [trials.by_name[name] for name in follows.starts]
            proposals = [Waiting(trial.name, self._propose(trial), is_planned=False) for trial in follows.made]
            proposals += [Waiting(trial.name, self._propose(trial), trial.name not in trials.made) for trial in again]
        except Exception as error:  # whatever is asked, the sweep goes on
            follows, proposals = Effect(name_failure(error).replace("\n", "; ")), []
            decision = self._decision(request_id, request, follows, refused=True)
        else:
            decision = self._decision(request_id, request, follows, refused=False)
        append_decision(self.experiment_dir, decision)
        self._decisions.append(decision)
        self.stopped = stopped_trials(self._decisions)
        self.made.update(trial.name for trial in follows.made)
        self._waiting.extend(proposals)
        self._waiting = deque(waiting for waiting in self._waiting if waiting.name not in self.stopped)
        self.stops_sweep |= follows.stops_sweep
        self._tell(decision)

    def _decision(self, request_id: str, request: Request, effect: Effect, *, refused: bool) -> Decision:
        return Decision(
            id=request_id,
            time=request.time,
            decided=time.time(),
            origin=request.origin,
            words=request.words,
            action=request.action,
            answer=effect.answer,
            refused=refused,
            trials=(*effect.stops, *effect.starts, *(trial.name for trial in effect.made)),
            made=tuple(trial.model_dump(mode="json") for trial in effect.made),
            finished=len(list(self.experiment_dir.glob(f"*/{FINISHED_FILE}"))),
        )


def append_decision(experiment_dir: Path, decision: Decision) -> None:
    """Add a decision to control.jsonl and bring it to disk. Half a line of a killed process stays a line of its own.

    Raises:
        OSError: it can't be written.
    """
    path = experiment_dir / CONTROL_FILE
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
        torn = bool(size) and file.read(1) != b"\n"
        file.write(b"\n" * torn + decision.to_line().encode())
        file.flush()
        os.fsync(file.fileno())
