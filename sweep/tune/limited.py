"""A search that waits with its next trial while those that run take all that the sweep may take."""

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from sweep.schema.limits import Limits
from sweep.tune.pickled_empty import PickledEmpty
from sweep.tune.searchers import RayConfig


class LimitedSearch(PickledEmpty, Searcher):  # type: ignore[misc]  # Ray has no types
    """Proposes what another search does, as far as there is room. Ray asks again when a trial has ended.

    Ray's ConcurrencyLimiter counts trials and no GPUs. As there, a cluster that grows is asked for no more nodes than
    the sweep may use. A trial that is tried again with a whole GPU, since it ran out of memory, counts as before.
    """

    def __init__(self, search: Searcher, limits: Limits, gpus_of: Callable[[RayConfig], float]) -> None:
        """Wrap a search.

        Args:
            search: what proposes the trials.
            limits: what they may take together.
            gpus_of: how much of a GPU a proposed trial holds.
        """
        super().__init__(metric=search.metric, mode=search.mode)
        self._search, self._limits, self._gpus_of = search, limits, gpus_of
        self._running: dict[str, tuple[str, float]] = {}
        """By a trial's id that by which the search knows it, and the GPUs that it holds."""
        self._held: tuple[str, RayConfig] | None = None
        """A proposal for which there was no room yet."""

    def suggest(self, trial_id: str) -> RayConfig | str | None:
        """The next trial; None while there is no room, or something to wait for."""
        if self._limits.trials is not None and len(self._running) >= self._limits.trials:
            return None
        if self._held is None:
            proposal: RayConfig | str | None = self._search.suggest(trial_id)
            if not isinstance(proposal, dict):
                return proposal
            self._held = trial_id, proposal
        known_as, proposal = self._held
        gpus = self._gpus_of(proposal)
        wanted = gpus + sum(held for _, held in self._running.values())
        if self._limits.gpus is not None and round(wanted, 4) > self._limits.gpus:  # Ray counts in these steps, too
            return None
        self._held = None
        self._running[trial_id] = known_as, gpus
        return proposal

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Ray calls this however a trial has ended for good."""
        if trial_id not in self._running:
            return
        known_as, _ = self._running.pop(trial_id)
        self._search.on_trial_complete(known_as, result, error)

    def save(self, checkpoint_path: str) -> None:
        """Have the search keep what it knows."""
        self._search.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""
        self._search.restore(checkpoint_path)
