"""Which trials a sweep runs one after another, where later ones depend on how earlier ones ended.

A round is a list of trials that may run at once. The first of a grid is all of it; under search 'tuned' it is the
tuning trials, followed by each arm's best setting with every seed; and with adaptive seeds a round for each further
seed follows, of the arms that are still tied with the leader.

Everything is decided from what finished trials keep in their directories, on validation windows under search 'tuned'
and on test windows otherwise, so a sweep that is continued decides as it did before.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from analysis.told_apart import tied_with_leader
from sweep.search_space import enumerate_trials, tuning_trials
from sweep.spec import AdaptiveSeeds, SweepSpec
from sweep.trial import TrialConfig

Losses = npt.NDArray[np.float64]
ReadLosses = Callable[[TrialConfig], Losses | None]
"""The loss of each held-out window after the last step of a trial; None if it did not finish."""


def rounds(spec: SweepSpec, read_losses: ReadLosses) -> Iterator[list[TrialConfig]]:
    """The rounds of a sweep; the next one is to be asked for when every trial of the last one has ended.

    Args:
        spec: the sweep, of any search but 'optuna'.
        read_losses: what decides which trials follow.
    """
    if spec.search == "tuned":
        tuning = tuning_trials(spec)
        yield [trial for arm in tuning for trial in arm]
        arms = [best for arm in tuning if (best := _best(arm, read_losses))]
        first = [_final(arm, seed) for arm in arms for seed in spec.first_seeds]
    else:
        first = enumerate_trials(spec)
        arms = list(dict.fromkeys(_with_seed(trial, 0) for trial in first))
    yield first
    if isinstance(spec.seeds, AdaptiveSeeds):
        finals = [_final(arm, 0) for arm in arms] if spec.search == "tuned" else arms
        yield from _further_seeds(finals, spec.seeds, read_losses)


def _best(arm: list[TrialConfig], read_losses: ReadLosses) -> TrialConfig | None:
    """The tuning trial with the lowest mean loss; None if none has finished."""
    means = {trial: float(losses.mean()) for trial in arm if (losses := read_losses(trial)) is not None}
    return min(means, key=means.__getitem__, default=None)


def _further_seeds(arms: list[TrialConfig], seeds: AdaptiveSeeds, read: ReadLosses) -> Iterator[list[TrialConfig]]:
    """One more seed at a time for the arms that can't be told apart from the leader, as the report would judge.

    Arms that are tested on different windows do not compare, so each such group has a leader of its own. An arm that
    has once been told apart gets no more, whoever leads later.
    """
    groups: dict[tuple[int, int], list[TrialConfig]] = {}
    for arm in arms:
        groups.setdefault((arm.block_size, arm.test_windows), []).append(arm)
    tied = groups
    for seed in range(seeds.min, seeds.max):
        tied = {key: _still_tied(group, tied[key], seed, seeds, read) for key, group in groups.items()}
        following = [_with_seed(arm, seed) for group in tied.values() if len(group) > 1 for arm in group]
        if not following:
            return
        yield following


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
    return tuned.model_copy(update={"evaluate_on": "validation, then test", "seed": seed})


def _with_seed(trial: TrialConfig, seed: int) -> TrialConfig:
    return trial.model_copy(update={"seed": seed})
