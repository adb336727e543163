"""What Ray Tune asks for the next trial: rounds of listed trials, Optuna with replicates, and what follows it."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from basis.metrics import METRIC
from sweep.search_space import OptunaSpace, tuning_seed
from sweep.spec.schema import SweepSpec

Proposal = dict[str, Any]
"""A config as Ray has it, see `sweep.tune.tuning.Proposals`."""


class _Lane:
    """Rounds of which the next begins when the last has ended; `open` until the last one has."""

    def __init__(self, rounds: Iterator[list[Proposal]]) -> None:
        self._rounds = rounds
        self._waiting: list[Proposal] = []
        self.running: set[str] = set()
        self.open = True

    def propose(self, trial_id: str) -> Proposal | None:
        while self.open and not self._waiting and not self.running:
            following = next(self._rounds, None)
            self.open = following is not None
            self._waiting = (following or [])[::-1]
        if not self._waiting:
            return None
        self.running.add(trial_id)
        return self._waiting.pop()


class RoundsSearch(Searcher):  # type: ignore[misc]  # Ray has no types
    """Proposes trials round by round. Ray's own grid can't express a union of conditional grids.

    Attributes:
        proposed: how many trials have been proposed.
        exhausted: whether there is nothing left to propose.
    """

    def __init__(self, lanes: Sequence[Iterator[list[Proposal]]], afterwards: Iterator[list[Proposal]]) -> None:
        """Proposals of a round may run at once.

        The next round of a lane begins when its last has ended, whatever other lanes do; those of `afterwards` when
        everything before has.
        """
        super().__init__()
        self._lanes = [_Lane(rounds) for rounds in lanes]
        self._afterwards = _Lane(afterwards)
        self.proposed = 0
        self.exhausted = False

    def suggest(self, trial_id: str) -> Proposal | str | None:
        """The next trial's config; None while rounds are still running, FINISHED at the end."""
        for lane in self._lanes:
            if proposal := lane.propose(trial_id):
                self.proposed += 1
                return proposal
        if not any(lane.open for lane in self._lanes):
            if proposal := self._afterwards.propose(trial_id):
                self.proposed += 1
                return proposal
            self.exhausted = not self._afterwards.open
        return str(Searcher.FINISHED) if self.exhausted else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ray calls this however a trial has ended for good."""
        for lane in (*self._lanes, self._afterwards):
            lane.running.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Ray wants a file. Nothing is kept: --resume proposes the rounds again, and finished trials replay."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles the search into the experiment, and never reads it there; an iterator can't be part of that."""
        return {}


class ReplicatedSearch(Searcher):  # type: ignore[misc]  # Ray has no types
    """Runs each config that another search proposes with every seed, and tells it the mean of the metric."""

    def __init__(self, search: Searcher, metric: str, seeds: Sequence[int]) -> None:
        super().__init__(metric=search.metric, mode=search.mode)
        self._search = search
        self._of_interest = metric
        self._seeds = seeds
        self._waiting: list[tuple[str, Proposal]] = []
        self._first: dict[str, str] = {}
        self._values: dict[str, list[float]] = {}

    def suggest(self, trial_id: str) -> Proposal | str | None:
        """The last proposal with its next seed, or a new one."""
        if not self._waiting:
            proposal: Proposal | str | None = self._search.suggest(trial_id)
            if not isinstance(proposal, dict):
                return proposal
            self._waiting = [(trial_id, {**proposal, "seed": seed}) for seed in reversed(self._seeds)]
            self._values[trial_id] = []
        self._first[trial_id], replicate = self._waiting.pop()
        return replicate

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the search of a config when its last seed has ended: one that failed with any seed counts as failed."""
        first = self._first.pop(trial_id)
        values = self._values[first]
        value = (result or {}).get(self._of_interest)
        values.append(math.nan if error or value is None else float(value))
        if len(values) < len(self._seeds):
            return
        mean = sum(self._values.pop(first)) / len(values)
        failed = not math.isfinite(mean)
        self._search.on_trial_complete(first, None if failed else {self._of_interest: mean}, error=failed)

    def save(self, checkpoint_path: str) -> None:
        """The search keeps what it knows; what is on its way is asked for again by --resume."""
        self._search.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
        self._search.restore(checkpoint_path)


class SearchThenRounds(Searcher):  # type: ignore[misc]  # Ray has no types
    """Has a search propose so many trials, and when all of them have ended the rounds that follow from them.

    Attributes:
        proposed: how many trials have been proposed.
        exhausted: whether there is nothing left to propose.
    """

    def __init__(
        self, search: Searcher, trials: int, following: Callable[[list[Proposal]], Iterator[list[Proposal]]]
    ) -> None:
        """`following` makes rounds of what the search has proposed."""
        super().__init__(metric=search.metric, mode=search.mode)
        self._search = search
        self._trials = trials
        self._following = following
        self._tried: list[Proposal] = []
        self._searching: set[str] = set()
        self._rounds: RoundsSearch | None = None

    @property
    def proposed(self) -> int:
        return len(self._tried) + (self._rounds.proposed if self._rounds else 0)

    @property
    def exhausted(self) -> bool:
        return self._rounds is not None and self._rounds.exhausted

    def suggest(self, trial_id: str) -> Proposal | str | None:
        """The next trial's config; None while there is something to wait for, FINISHED at the end."""
        if len(self._tried) < self._trials:
            proposal: Proposal | str | None = self._search.suggest(trial_id)
            if isinstance(proposal, dict):
                self._tried.append(proposal)
                self._searching.add(trial_id)
            return proposal
        if self._searching:
            return None
        if self._rounds is None:
            self._rounds = RoundsSearch([], self._following(self._tried))
        return self._rounds.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ray calls this however a trial has ended for good; the search hears of its own trials alone."""
        if trial_id in self._searching:
            self._searching.discard(trial_id)
            self._search.on_trial_complete(trial_id, result, error)
        elif self._rounds is not None:
            self._rounds.on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """The search keeps what it knows; --resume asks for everything again, and finished trials replay."""
        self._search.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
        self._search.restore(checkpoint_path)

    def __getstate__(self) -> dict[str, Any]:
        """As that of `RoundsSearch`."""
        return {}


def optuna_search(spec: SweepSpec, space: OptunaSpace, suggested: list[dict[str, Any]]) -> ReplicatedSearch:
    """Optuna over the spec's space.

    Args:
        suggested: what Optuna suggested for trials of this experiment that have begun, to be told again first.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Told results take no random draws, so an unchanged seed would propose the first configs once more.
    sampler = optuna.samplers.TPESampler(seed=spec.search_seed + len(suggested))
    search = OptunaSearch(
        space,
        metric=spec.chosen_by,
        mode="min" if METRIC[spec.chosen_by].better == "lower" else "max",
        sampler=sampler,
        points_to_evaluate=suggested or None,
    )
    seeds = (tuning_seed(spec),) if spec.chooses_on_validation else spec.first_seeds
    return ReplicatedSearch(search, spec.chosen_by, seeds)
