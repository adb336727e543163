"""Control of a running sweep under Ray Tune: its search with trials added by request, and what stops a trial."""

import signal
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from basis.metrics import Row
from sweep.proposal import Proposal
from sweep.steering.desk import Desk
from sweep.tune.pickled_empty import PickledEmpty
from sweep.tune.searchers import RayConfig
from sweep.tune.shares import RetryAlone


class SteeredSearch(PickledEmpty, Searcher):  # type: ignore[misc]  # Ray has no types
    """A search, and before its next proposal the trials that requests have made. Trials stopped by request are skipped.

    It ends when the search has ended and no trial runs any more, so that a sweep that waits for its last trial still
    takes requests.

    Attributes:
        proposed: how many trials have been proposed.
        exhausted: whether there is nothing left to propose.
    """

    def __init__(
        self,
        search: Searcher,
        desk: Desk,
        most: int | None = None,
        pass_by: Callable[[Proposal], Row | None] = lambda proposal: None,
    ) -> None:
        """Wrap a search.

        Args:
            search: what proposes the sweep's own trials.
            desk: where the sweep takes requests.
            most: how many trials the search is asked for; None: until it says that there are no more.
            pass_by: returns the last row of a trial that needs no run; None: it has to run.
        """
        super().__init__(metric=search.metric, mode=search.mode)
        self._search, self._desk, self._most, self._pass_by = search, desk, most, pass_by
        self._asked = 0
        self._ended = False
        self._running: dict[str, str | None] = {}
        """By a trial's id that by which the search knows it; None for one made by request."""
        self._passed: set[str] = set()
        """Names of the trials that the search has proposed."""
        self.proposed = 0
        self.exhausted = False

    def suggest(self, trial_id: str) -> RayConfig | str | None:
        """The next trial; None while there is something to wait for, FINISHED at the end."""
        proposal = self._made_by_request(trial_id) or self._from_search(trial_id)
        if proposal is None and self._ended and not self._running:
            self._desk.take(at_once=True)
            proposal = self._made_by_request(trial_id)
            self.exhausted = proposal is None
        self.proposed += proposal is not None
        return str(Searcher.FINISHED) if self.exhausted else proposal

    def _made_by_request(self, trial_id: str) -> RayConfig | None:
        while (waiting := self._desk.next_trial()) is not None:
            if waiting.is_planned and waiting.name not in self._passed and not self._ended:
                continue  # it is stopped no more, and the search will propose it
            if self._pass_by(Proposal.from_ray(waiting.proposal)) is not None:
                self.proposed += 1
                continue
            self._running[trial_id] = None
            return waiting.proposal
        return None

    def _from_search(self, trial_id: str) -> RayConfig | None:
        """The search's next trial that was not stopped by request and has not finished before."""
        while not self._ended:
            if self._asked == self._most:
                self._ended = True
                break
            known_as = f"{trial_id}-{self._asked}"  # the search hears of each trial by an id of its own
            proposal: RayConfig | str | None = self._search.suggest(known_as)
            self._ended = proposal == Searcher.FINISHED
            if not isinstance(proposal, dict):
                return None
            self._asked += 1
            decoded = Proposal.from_ray(proposal)
            name = decoded.config.name
            self._passed.add(name)
            if name in self._desk.stopped:
                self._search.on_trial_complete(known_as, None, error=True)
            elif (row := self._pass_by(decoded)) is not None:
                self.proposed += 1
                self._search.on_trial_complete(known_as, row)
            else:
                self._running[trial_id] = known_as
                return proposal
        return None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ray calls this however a trial has ended for good. The search hears of its own trials alone.

        One that was stopped has failed to it: the loss of an early step is none of its config.
        """
        known_as = self._running.pop(trial_id, None)
        if known_as is None:
            return
        if (result or {}).get("finished"):
            self._search.on_trial_complete(known_as, result, error)
        else:
            self._search.on_trial_complete(known_as, None, error=True)

    def save(self, checkpoint_path: str) -> None:
        """Have the search keep what it knows; what requests have made is in the sweep's own record."""
        self._search.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
        self._search.restore(checkpoint_path)


class RequestsFirst(PickledEmpty, RetryAlone):
    """Runs trials that requests have made before those of the sweep that wait in Ray already."""

    def __init__(self, desk: Desk, alone: tune.PlacementGroupFactory, began: float = 0.0) -> None:
        """`desk` is where the sweep takes requests; for the others see `RetryAlone`."""
        super().__init__(alone, began)
        self._desk = desk

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that starts next; None: there is none."""
        waiting = self.waiting()
        made = (trial for trial in waiting if self._desk.made and str(trial) in self._desk.made)
        return next(made, None) or next(iter(waiting), None)


class TakeRequests(PickledEmpty, tune.Callback):  # type: ignore[misc]  # Ray has no types
    """Has the desk look for requests as Ray's loop goes round, and ends the sweep where that is asked."""

    def __init__(self, desk: Desk) -> None:
        """`desk` is where the sweep takes requests."""
        self._desk = desk
        self._interrupted = False

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Ray's loop begins a round."""
        self._desk.take()
        if self._desk.stops_sweep and not self._interrupted:
            self._interrupted = True
            signal.raise_signal(signal.SIGINT)  # which Ray Tune answers by ending as after Ctrl-C


class StopAsAsked(PickledEmpty, tune.Stopper):  # type: ignore[misc]  # Ray has no types
    """Ends a trial at its first report after it was stopped by request."""

    def __init__(self, desk: Desk) -> None:
        """`desk` is where the sweep takes requests."""
        self._desk = desk

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial that reports ends."""
        stopped = self._desk.stopped
        return bool(stopped) and Proposal.from_ray(result["config"]).config.name in stopped

    def stop_all(self) -> bool:
        """Never: a sweep ends by an interrupt, which leaves its trials unfinished and not stopped."""
        return False
