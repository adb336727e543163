"""Which trials a sweep runs one after another, where later ones depend on how earlier ones ended.

A round is a list of trials that may run at once. A lane is a series of rounds; each of them starts when the one before
it has ended, whatever other lanes do.

- A grid is one lane with one round.
- Where settings are chosen on validation windows, each group of trials that compete (`analysis.comparison.choices`)
  has a lane of two rounds: its tuning trials, then the best of them with every seed.
- Under Optuna the best of all groups follow, in one round, when its search has ended.
- With adaptive seeds one round for each further seed follows when all lanes have ended. It holds the arms that are
  still tied with the leader.

Every decision reads what finished trials keep in their directories: validation losses where settings are chosen by
them, test losses otherwise. So a sweep that is continued decides as it did before. An arm that has been tested keeps
its setting, even if a tuning trial that had failed finishes now: test windows are used once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.comparison.told_apart import tied_with_leader
from basis.stages import Stage
from sweep.schema.seeds import AdaptiveSeeds
from sweep.search_space import SweepPlan, groups_of
from sweep.trial.config import TrialConfig

Losses = npt.NDArray[np.float64]
ReadLosses = Callable[[TrialConfig], Losses | None]
"""The loss of each held-out window after the last step of a trial; None if it did not finish."""


@dataclass(frozen=True)
class Rounds:
    """The rounds of one sweep.

    Attributes:
        plan: the sweep and its trials.
        read_losses: what decides which trials follow.
    """

    plan: SweepPlan
    read_losses: ReadLosses

    def lanes(self) -> list[Iterator[list[TrialConfig]]]:
        """The lanes of a sweep of any search but 'optuna'; they run side by side.

        A lane works out its next round when it is asked for it, so ask when its previous round has ended.
        """
        if not self.plan.spec.chooses_on_validation:
            return [iter([self.plan.candidates])]
        return [self._tuning_then_best(group) for group in self.plan.groups]

    def best_of(self, tried: Sequence[TrialConfig]) -> Iterator[list[TrialConfig]]:
        """The one round that follows when Optuna's search has ended: the best trial of each group, with every seed.

        Args:
            tried: what the search has tried, on validation windows.
        """
        best = [self._best(group) for group in groups_of(self.plan.spec, tried)]
        yield [_final(trial, seed) for trial in best if trial for seed in self._seeds]

    def further_seeds(self) -> Iterator[list[TrialConfig]]:
        """The rounds that follow when all lanes have ended: one more seed at a time for arms tied with the leader.

        The test is the report's own (`analysis.comparison.told_apart`). Losses on different windows do not compare, nor
        do those of base models with different tokenizers, so each such group has a leader of its own. An arm that was
        told apart once gets no more seeds, whoever leads later.
        """
        seeds = self.plan.spec.seeds
        if not isinstance(seeds, AdaptiveSeeds):
            return
        groups: dict[tuple[str | None, int, int], list[TrialConfig]] = {}
        for arm in self._arms():
            groups.setdefault((arm.model, arm.block_size, arm.test_windows), []).append(arm)
        tied = groups
        for seed in range(seeds.min, seeds.max):
            tied = {key: self._still_tied(group, tied[key], seed, seeds) for key, group in groups.items()}
            following = [_with_seed(arm, seed) for group in tied.values() if len(group) > 1 for arm in group]
            if not following:
                return
            yield following

    @property
    def _seeds(self) -> Sequence[int]:
        return self.plan.spec.first_seeds

    def _tuning_then_best(self, group: list[TrialConfig]) -> Iterator[list[TrialConfig]]:
        yield group
        if best := self._best(group):
            yield [_final(best, seed) for seed in self._seeds]

    def _arms(self) -> list[TrialConfig]:
        """The arms of the sweep, each by its trial with seed 0."""
        if self.plan.spec.chooses_on_validation:
            return [_final(best, 0) for group in self.plan.groups if (best := self._best(group))]
        return list(dict.fromkeys(_with_seed(trial, 0) for trial in self.plan.candidates))

    def _best(self, group: list[TrialConfig]) -> TrialConfig | None:
        """The tuning trial with the lowest mean loss; None if none has finished.

        If the settings of some trials have been tested already, only those are compared.
        """
        read = self.read_losses
        tested = [trial for trial in group if any(read(_final(trial, seed)) is not None for seed in self._seeds)]
        means = {trial: float(losses.mean()) for trial in tested or group if (losses := read(trial)) is not None}
        return min(means, key=means.__getitem__, default=None)

    def _still_tied(
        self, group: list[TrialConfig], tied: list[TrialConfig], seed: int, seeds: AdaptiveSeeds
    ) -> list[TrialConfig]:
        """Those of `tied` that are still tied with the leader of their group after all seeds below `seed`."""
        losses = {
            arm.name: {s: kept for s in range(seed) if (kept := self.read_losses(_with_seed(arm, s))) is not None}
            for arm in group
        }
        names = tied_with_leader({arm: kept for arm, kept in losses.items() if kept}, looks=seeds.max - seeds.min + 1)
        return [arm for arm in tied if arm.name in names]


def _final(tuned: TrialConfig, seed: int) -> TrialConfig:
    return tuned.model_copy(update={"evaluate_on": Stage.FINAL, "seed": seed})


def _with_seed(trial: TrialConfig, seed: int) -> TrialConfig:
    return trial.model_copy(update={"seed": seed})
