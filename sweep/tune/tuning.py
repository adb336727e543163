"""The trials of a sweep handed to Ray Tune."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from rich.console import Console

from basis.directory import FINISHED_FILE, WINDOW_LOSSES_FILE
from basis.disks import trouble
from sweep.cluster.environment import ray_folder
from sweep.inputs import SweepInputs
from sweep.proposal import Proposal, TrialPlanner
from sweep.search_space import OptunaSpace, SweepPlan
from sweep.trainable import Trainable
from sweep.trial.config import TrialConfig
from sweep.tune.counts import SweepCounts
from sweep.tune.endings import Endings, faults_of_ray_told
from sweep.tune.hang import HangWatch
from sweep.tune.live import LiveTable
from sweep.tune.rounds import Losses, ReadLosses, best_of, further_seeds, lanes
from sweep.tune.searchers import RayConfig, ReplicatedSearch, RoundsSearch, SearchThenRounds, optuna_search
from sweep.tune.shares import RetryAlone, Shares

SNAPSHOT_SECONDS, SECONDS_PER_TRIAL = 10.0, 0.1

MOST_PENDING = 64
"""Trials of a list that Ray keeps ready. Its default, one, suits a search that learns and is slow for a list."""


@dataclass(frozen=True)
class TrialSource:
    """What Ray Tune asks for trials.

    Attributes:
        search: which trial comes next.
        samples: how many Ray may ask for; -1: until the search says that there are no more.
    """

    search: ReplicatedSearch | RoundsSearch | SearchThenRounds
    samples: int

    def asked_for(self, least_trials: int) -> tuple[int, bool]:
        """How many trials have been asked for, and whether those are all; of a sweep that takes so many at least."""
        if isinstance(self.search, ReplicatedSearch):
            return self.samples, True
        if self.search.exhausted:
            return self.search.proposed, True
        return max(self.search.proposed, least_trials), False  # some have not even been proposed


def tune_trials(
    plan: SweepPlan, inputs: SweepInputs, planner: TrialPlanner, shares: Shares, console: Console
) -> SweepCounts:
    """Run the trials under Ray, which must be running; trials that an earlier run finished replay their rows.

    Args:
        plan: the sweep and its trials.
        inputs: what its trials share.
        planner: plans the memory of each trial.
        shares: what Ray sets aside for each trial.
        console: where the live table is drawn.
    """
    spec = plan.spec
    source = _source(plan, inputs.experiment_dir, planner)
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(snapshot_seconds(plan.least_trials))
    objective = spec.chosen_by if spec.search == "optuna" else None
    trainable = tune.with_parameters(Trainable, inputs=inputs, objective=objective)
    endings, folders, disk = Endings(), [inputs.experiment_dir, ray_folder()], None
    with LiveTable([] if spec.search == "optuna" else plan.candidates, plan.least_trials, console) as live:
        tuner = tune.Tuner(
            tune.with_resources(trainable, shares),
            tune_config=tune.TuneConfig(
                search_alg=source.search,
                scheduler=RetryAlone(shares.alone, inputs.began),
                num_samples=source.samples,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=inputs.experiment_dir.name,
                storage_path=str(inputs.experiment_dir.parent),
                failure_config=tune.FailureConfig(max_failures=spec.max_failures),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # trials keep their own, see TrialRun
                callbacks=[live, endings, HangWatch(spec.hang, live.tell)],
                verbose=0,
            ),
        )
        try:
            with faults_of_ray_told():
                tuner.fit()
        except Exception as error:
            if (disk := trouble(error, folders)) is None:
                raise
    begun, is_exhausted = source.asked_for(plan.least_trials)
    return endings.counts(begun, is_exhausted, disk or (trouble(None, folders) if endings.failed else None))


def snapshot_seconds(trials: int) -> float:
    """How often Ray writes its own list of so many trials, all of it anew each time.

    The time between two writes grows with the list, so that writing takes the same share of a sweep however many its
    trials. Nothing that has finished hangs on it: what a trial keeps is written by the trial, and a sweep is continued
    (`trial_run`) and reported (`analysis.results.state`) from that.
    """
    return max(SNAPSHOT_SECONDS, trials * SECONDS_PER_TRIAL)


def _source(plan: SweepPlan, experiment_dir: Path, planner: TrialPlanner) -> TrialSource:
    """The search of a sweep: Optuna's, or rounds of listed trials."""
    spec = plan.spec
    read_losses = _losses_in(experiment_dir, spec.chosen_by if spec.chooses_on_validation else "test_loss")

    def proposed(rounds: Iterator[list[TrialConfig]]) -> Iterator[list[RayConfig]]:
        return ([planner.propose_to_ray(trial) for trial in trials] for trials in rounds)

    if spec.search == "optuna":
        search = optuna_search(spec, OptunaSpace(spec, planner.propose_to_ray), experiment_dir)
        if not spec.chooses_on_validation:
            return TrialSource(search, plan.least_trials)

        def best(tried: list[RayConfig]) -> Iterator[list[RayConfig]]:
            return proposed(best_of(spec, [Proposal.from_ray(config).config for config in tried], read_losses))

        return TrialSource(SearchThenRounds(search, spec.trials or 1, best), -1)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(len(plan.candidates), MOST_PENDING))
    side_by_side = [proposed(lane) for lane in lanes(plan, read_losses)]
    return TrialSource(RoundsSearch(side_by_side, proposed(further_seeds(plan, read_losses))), -1)


def _losses_in(experiment_dir: Path, metric: str) -> ReadLosses:
    """Reads the losses of a finished trial by window; the train loss is one number."""
    name = FINISHED_FILE if metric == "train_loss" else WINDOW_LOSSES_FILE

    def read(trial: TrialConfig) -> Losses | None:
        path = experiment_dir / trial.name / name
        if not path.exists():
            return None
        kept = json.loads(path.read_text(encoding="utf-8"))
        return np.atleast_1d(np.asarray(kept["rows"][-1][metric] if metric == "train_loss" else kept[metric]))

    return read


def _trial_name(trial: Any) -> str:
    return Proposal.from_ray(trial.config).config.name
