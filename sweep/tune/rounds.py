"""Which trials a sweep runs one after another, where later ones depend on how earlier ones ended.

A round is a list of trials that may run at once. A grid is one round. Where settings are chosen on validation windows,
each group of trials that compete (see `analysis.comparison.choices`) has two, apart from the other groups: its tuning
trials, then the best of them with every seed. Under Optuna the best of all groups follow when it has ended. With
adaptive seeds there follows, when all that has ended, a round for each further seed, of the arms that are still tied
with the leader.

Everything is decided from what finished trials keep in their directories, on validation windows where settings are
chosen by them and on test windows otherwise, so a sweep that is continued decides as it did before. An arm that has
been tested keeps its setting, even if a tuning trial that had failed finishes now: test windows are used once.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from analysis.comparison.told_apart import tied_with_leader
from basis.stages import Stage
from sweep.search_space import enumerate_trials, groups_of, tuning_trials
from sweep.spec.schema import SweepSpec
from sweep.spec.seeds import AdaptiveSeeds
from sweep.trial.config import TrialConfig

Losses = npt.NDArray[np.float64]
ReadLosses = Callable[[TrialConfig], Losses | None]
"""The loss of each held-out window after the last step of a trial; None if it did not finish."""


def lanes(spec: SweepSpec, read_losses: ReadLosses) -> list[Iterator[list[TrialConfig]]]:
    """Rounds that are independent of one another, whose own next is to be asked for when its last has ended.

    Args:
        spec: the sweep, of any search but 'optuna'.
        read_losses: what decides which trials follow.
    """
    if not spec.chooses_on_validation:
        return [iter([enumerate_trials(spec)])]
    return [_tuned(arm, spec.first_seeds, read_losses) for arm in tuning_trials(spec)]


def best_of(spec: SweepSpec, tried: Sequence[TrialConfig], read_losses: ReadLosses) -> Iterator[list[TrialConfig]]:
    """The round that follows a search which has ended: the best of each group, with every seed.

    Args:
        spec: the sweep.
        tried: what the search has tried, on validation windows.
        read_losses: what decides which of them are best.
    """
    best = [_best(group, spec.first_seeds, read_losses) for group in groups_of(spec, tried)]
    yield [_final(one, seed) for one in best if one for seed in spec.first_seeds]


def further_seeds(spec: SweepSpec, read_losses: ReadLosses) -> Iterator[list[TrialConfig]]:
    """The rounds that follow when all lanes have ended: one more seed at a time for arms tied with the leader.

    Who is tied is told as the report does it. Arms that are tested on different windows do not compare, so each such
    group has a leader of its own. An arm that has once been told apart gets no more seeds, whoever leads later.
    """
    if not isinstance(spec.seeds, AdaptiveSeeds):
        return
    groups: dict[tuple[int, int], list[TrialConfig]] = {}
    for arm in _arms(spec, read_losses):
        groups.setdefault((arm.block_size, arm.test_windows), []).append(arm)
    tied = groups
    for seed in range(spec.seeds.min, spec.seeds.max):
        tied = {key: _still_tied(group, tied[key], seed, spec.seeds, read_losses) for key, group in groups.items()}
        following = [_with_seed(arm, seed) for group in tied.values() if len(group) > 1 for arm in group]
        if not following:
            return
        yield following


def _tuned(arm: list[TrialConfig], seeds: Sequence[int], read_losses: ReadLosses) -> Iterator[list[TrialConfig]]:
    yield arm
    if best := _best(arm, seeds, read_losses):
        yield [_final(best, seed) for seed in seeds]


def _arms(spec: SweepSpec, read_losses: ReadLosses) -> list[TrialConfig]:
    """The arms of the sweep, each by its trial with seed 0."""
    if spec.chooses_on_validation:
        chosen = (_best(arm, spec.first_seeds, read_losses) for arm in tuning_trials(spec))
        return [_final(best, 0) for best in chosen if best]
    return list(dict.fromkeys(_with_seed(trial, 0) for trial in enumerate_trials(spec)))


def _best(arm: list[TrialConfig], seeds: Sequence[int], read_losses: ReadLosses) -> TrialConfig | None:
    """The tuning trial with the lowest mean loss, of settings tested already if there are any; None without one."""
    tested = [trial for trial in arm if any(read_losses(_final(trial, seed)) is not None for seed in seeds)]
    means = {trial: float(losses.mean()) for trial in tested or arm if (losses := read_losses(trial)) is not None}
    return min(means, key=means.__getitem__, default=None)


def _still_tied(
    group: list[TrialConfig], tied: list[TrialConfig], seed: int, seeds: AdaptiveSeeds, read: ReadLosses
) -> list[TrialConfig]:
    """Those of `tied` that are still tied with the leader of their group, after all seeds below `seed`."""
    losses = {
        arm.name: {s: kept for s in range(seed) if (kept := read(_with_seed(arm, s))) is not None} for arm in group
    }
    names = tied_with_leader({arm: kept for arm, kept in losses.items() if kept}, looks=seeds.max - seeds.min + 1)
    return [arm for arm in tied if arm.name in names]


def _final(tuned: TrialConfig, seed: int) -> TrialConfig:
    return tuned.model_copy(update={"evaluate_on": Stage.FINAL, "seed": seed})


def _with_seed(trial: TrialConfig, seed: int) -> TrialConfig:
    return trial.model_copy(update={"seed": seed})
