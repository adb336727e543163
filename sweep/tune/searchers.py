"""What Ray Tune asks for the next trial: rounds of listed trials, Optuna with replicates, and what follows it."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from basis.directory import SUGGESTED_FILE
from basis.metrics import METRIC
from sweep.search_space import SUGGESTED, OptunaSpace, SweepPlan
from sweep.tune.pickled_empty import PickledEmpty

RayConfig = dict[str, Any]
"""A trial as Ray has it, see `sweep.proposal.Proposal`."""


class _Lane:
    """A lane starts its next round when all trials of its previous round have ended.

    Attributes:
        running: ids of the trials that have been proposed and have not ended.
        open: whether there may be another round.
    """

    def __init__(self, rounds: Iterator[list[RayConfig]]) -> None:
        self._rounds = rounds
        self._waiting: list[RayConfig] = []
        self.running: set[str] = set()
        self.open = True

    def propose(self, trial_id: str) -> RayConfig | None:
        """The next trial of the lane; None while a round is still running, and at the end."""
        while self.open and not self._waiting and not self.running:
            following = next(self._rounds, None)
            self.open = following is not None
            self._waiting = (following or [])[::-1]
        if not self._waiting:
            return None
        self.running.add(trial_id)
        return self._waiting.pop()


class RoundsSearch(PickledEmpty, Searcher):  # type: ignore[misc]  # Ray has no types
    """Proposes listed trials, lane by lane and round by round. Ray's own grid has no union of conditional grids."""

    def __init__(self, lanes: Sequence[Iterator[list[RayConfig]]], afterwards: Iterator[list[RayConfig]]) -> None:
        """The trials of a round may run at once.

        Args:
            lanes: each an iterator of rounds. A lane starts its next round when its previous round has ended.
            afterwards: a last lane, which starts when all others have ended.
        """
        super().__init__()
        self._lanes = [_Lane(rounds) for rounds in lanes]
        self._afterwards = _Lane(afterwards)

    def suggest(self, trial_id: str) -> RayConfig | str | None:
        """The next trial; None while rounds are still running, FINISHED at the end."""
        for lane in self._lanes:
            if proposal := lane.propose(trial_id):
                return proposal
        if any(lane.open for lane in self._lanes):
            return None
        if proposal := self._afterwards.propose(trial_id):
            return proposal
        return None if self._afterwards.open else str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ray calls this however a trial has ended for good."""
        for lane in (*self._lanes, self._afterwards):
            lane.running.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Write the empty file that Ray wants: --resume proposes the rounds again, without what has finished."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


class ReplicatedSearch(Searcher):  # type: ignore[misc]  # Ray has no types
    """Runs each config that another search proposes with every seed, and tells that search the mean of the metric."""

    def __init__(self, search: Searcher, metric: str, seeds: Sequence[int]) -> None:
        """Wrap a search.

        Args:
            search: what proposes configs.
            metric: the column of the trials' rows whose mean it is told.
            seeds: with which each config runs.
        """
        super().__init__(metric=search.metric, mode=search.mode)
        self._search = search
        self._metric_told = metric
        self._seeds = seeds
        self._waiting: list[tuple[str, RayConfig]] = []
        self._first: dict[str, str] = {}
        self._values: dict[str, list[float]] = {}

    def suggest(self, trial_id: str) -> RayConfig | str | None:
        """The last proposal with its next seed, or a new one."""
        if not self._waiting:
            proposal: RayConfig | str | None = self._search.suggest(trial_id)
            if not isinstance(proposal, dict):
                return proposal
            self._waiting = [(trial_id, {**proposal, "seed": seed}) for seed in reversed(self._seeds)]
            self._values[trial_id] = []
        self._first[trial_id], replicate = self._waiting.pop()
        return replicate

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the search of a config when its last seed has ended. A config that failed with any seed has failed."""
        first = self._first.pop(trial_id)
        values = self._values[first]
        value = (result or {}).get(self._metric_told)
        values.append(math.nan if error or value is None else float(value))
        if len(values) < len(self._seeds):
            return
        mean = sum(self._values.pop(first)) / len(values)
        failed = not math.isfinite(mean)
        self._search.on_trial_complete(first, None if failed else {self._metric_told: mean}, error=failed)

    def save(self, checkpoint_path: str) -> None:
        """Have the search keep what it knows; --resume asks again for trials that had not ended."""
        self._search.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
        self._search.restore(checkpoint_path)


class SearchThenRounds(PickledEmpty, Searcher):  # type: ignore[misc]  # Ray has no types
    """Runs a search of so many trials. When all of them have ended, it runs the rounds that follow from them."""

    def __init__(
        self, search: Searcher, trials: int, following: Callable[[list[RayConfig]], Iterator[list[RayConfig]]]
    ) -> None:
        """Wrap a search.

        Args:
            search: what proposes the first trials.
            trials: how many it proposes.
            following: makes the rounds that follow from all that the search has proposed.
        """
        super().__init__(metric=search.metric, mode=search.mode)
        self._search = search
        self._trials = trials
        self._following = following
        self._tried: list[RayConfig] = []
        self._searching: set[str] = set()
        self._rounds: RoundsSearch | None = None

    def suggest(self, trial_id: str) -> RayConfig | str | None:
        """The next trial; None while there is something to wait for, FINISHED at the end."""
        if len(self._tried) < self._trials:
            proposal: RayConfig | str | None = self._search.suggest(trial_id)
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
        """Ray calls this however a trial has ended for good. The search hears of its own trials alone."""
        if trial_id in self._searching:
            self._searching.discard(trial_id)
            self._search.on_trial_complete(trial_id, result, error)
        elif self._rounds is not None:
            self._rounds.on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Have the search keep what it knows; --resume asks for everything again, without what has finished."""
        self._search.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
        self._search.restore(checkpoint_path)


def optuna_search(plan: SweepPlan, space: OptunaSpace, experiment_dir: Path) -> ReplicatedSearch:
    """Optuna over the spec's space.

    Args:
        plan: the sweep.
        space: what Optuna draws from.
        experiment_dir: holds what Optuna suggested for trials that have begun; those are proposed first.
    """
    spec, suggested = plan.spec, known_suggestions(experiment_dir)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Configs that are proposed again take no random draws, so an unchanged seed would propose the first ones twice.
    sampler = optuna.samplers.TPESampler(seed=spec.search_seed + len(suggested))
    search = OptunaSearch(
        space,
        metric=spec.chosen_by,
        mode="min" if METRIC[spec.chosen_by].better == "lower" else "max",
        sampler=sampler,
        points_to_evaluate=suggested or None,
    )
    return ReplicatedSearch(search, spec.chosen_by, plan.search_seeds)


def known_suggestions(experiment_dir: Path) -> list[RayConfig]:
    """What Optuna suggested for trials that have begun, in that order, by the names that Optuna knows."""
    paths = sorted(experiment_dir.glob(f"*/{SUGGESTED_FILE}"), key=lambda path: path.stat().st_mtime_ns)
    texts = dict.fromkeys(path.read_text(encoding="utf-8") for path in paths)  # replicates keep the same one
    return [{f"{SUGGESTED}/{name}": value for name, value in json.loads(text).items()} for text in texts]
