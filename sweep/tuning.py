"""The trials of a sweep handed to Ray Tune."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from rich.console import Console
from transformers import GPT2Config

from sweep.inputs import SweepInputs
from sweep.live import LiveTable, trial_config
from sweep.memory_plan import PLAN, Device, MemoryPlan, plan_trial
from sweep.names import DIVERGED_FILE, NOT_JUDGED, WINDOW_LOSSES_FILE
from sweep.out_of_memory import read_attempts
from sweep.packing import Packing
from sweep.rounds import Losses, further_seeds, lanes
from sweep.search_space import OptunaSpace, candidate_trials, least_trials
from sweep.searchers import Proposal, ReplicatedSearch, RoundsSearch, optuna_search
from sweep.spec import Resources, SweepSpec
from sweep.trainable import Trainable
from sweep.trial import TrialConfig

SNAPSHOT_SECONDS, SECONDS_PER_TRIAL = 10.0, 0.1


@dataclass(frozen=True)
class Proposals:
    """Makes of a TrialConfig what Ray is given: its fields as plain values, and the plan of its memory."""

    shape: GPT2Config
    device: Device
    budget_bytes: int | None

    def __call__(self, config: TrialConfig) -> dict[str, Any]:
        """The config with its plan.

        Raises:
            UserError: the trial does not fit into the budget.
        """
        plan = plan_trial(config, self.shape, self.device, self.budget_bytes)
        return {**config.model_dump(mode="json"), PLAN: plan.to_mapping()}


@dataclass(frozen=True)
class Shares:
    """What Ray sets aside for a trial: the CPUs asked for, and of the device what its plan takes."""

    resources: Resources
    packing: Packing

    def __call__(self, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """For a trial beside others; `config` is one of `Proposals`."""
        plan = MemoryPlan.from_mapping(config[PLAN])
        if self.packing.device.type == "cpu":
            return self._bundle(memory=self.packing.demand_bytes(plan))
        gpu = self.resources.gpu
        return self._bundle(GPU=self.packing.gpu_share(plan) if gpu == "auto" else gpu)

    @property
    def alone(self) -> tune.PlacementGroupFactory:
        """For a trial that nothing else is to run beside."""
        if self.packing.device.type == "cpu":
            return self._bundle(memory=self.packing.device.capacity_bytes or 0)
        return self._bundle(GPU=1 if self.resources.gpu == "auto" else max(1, self.resources.gpu))

    def _bundle(self, **of_the_device: float) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": self.resources.cpu, **of_the_device}])


class RetryAlone(FIFOScheduler):  # type: ignore[misc]  # Ray has no types
    """Trials in their order; one that ran out of memory and is tried once more gets the device to itself."""

    def __init__(self, alone: tune.PlacementGroupFactory, began: float = 0.0) -> None:
        """`alone` is the whole device; what happened before `began` is history (see `SweepInputs`)."""
        super().__init__()
        self._alone = alone
        self._began = began

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Ray calls this when a trial has failed, before it is started again and also when it is not."""
        # One that has failed for good still counts as running, and Ray refuses to change what it holds.
        if trial.status != trial.RUNNING and read_attempts(Path(trial.path), self._began):
            trial.update_resources(self._alone)


@dataclass(frozen=True)
class Outcome:
    """How the trials of a sweep ended; `interrupted` ones were stopped or never started.

    A tuning trial that diverged is none of these: that some settings do is what a sweep tunes to find out.
    """

    finished: int
    failed: int
    interrupted: int
    unjudged: int = 0
    """Of those that finished, trials that have no rewards since judging failed."""


def tune_trials(
    spec: SweepSpec,
    inputs: SweepInputs,
    shares: Shares,
    propose: Proposals,
    suggested: list[dict[str, Any]],
    console: Console,
) -> Outcome:
    """Run the trials under Ray, which must be running; trials that an earlier run finished replay their rows.

    Args:
        shares: what Ray sets aside for each trial.
        propose: how trials are executed.
        suggested: what Optuna suggested for trials of this experiment that have begun, to be told again first.
    """
    search = _search(spec, inputs.experiment_dir, propose, suggested)
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(snapshot_seconds(least_trials(spec)))
    samples = -1 if isinstance(search, RoundsSearch) else least_trials(spec)
    planned = [] if spec.search == "optuna" else candidate_trials(spec)
    objective = spec.metric if spec.search == "optuna" else None
    trainable = tune.with_parameters(Trainable, inputs=inputs, objective=objective)
    with LiveTable(planned, least_trials(spec), console) as live:
        results = tune.Tuner(
            tune.with_resources(trainable, shares),
            tune_config=tune.TuneConfig(
                search_alg=search,
                scheduler=RetryAlone(shares.alone, inputs.began),
                num_samples=samples,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=inputs.experiment_dir.name,
                storage_path=str(inputs.experiment_dir.parent),
                failure_config=tune.FailureConfig(max_failures=spec.max_failures),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # trials keep their own, see TrialRun
                callbacks=[live],
                verbose=0,
            ),
        ).fit()
    finished = sum(bool(result.metrics and result.metrics.get("finished")) for result in results)
    failed = sum(bool(result.error) and not _diverged_in_tuning(result) for result in results)
    begun = search.proposed if isinstance(search, RoundsSearch) else samples
    lost = begun - finished - results.num_errors
    never_asked = isinstance(search, RoundsSearch) and not search.exhausted
    unjudged = sum(bool(result.metrics and result.metrics.get(NOT_JUDGED)) for result in results)
    return Outcome(finished, failed, max(lost, int(never_asked)), unjudged)


def snapshot_seconds(trials: int) -> float:
    """How often Ray writes its own list of so many trials, all of it anew each time.

    It takes a millisecond or two and about 45 KB a trial: 2 % of the time. Nothing that has finished hangs on it: what
    a trial keeps is written by the trial, and a sweep is continued from that (`trial_run`).
    """
    return max(SNAPSHOT_SECONDS, trials * SECONDS_PER_TRIAL)


def _search(
    spec: SweepSpec, experiment_dir: Path, propose: Proposals, suggested: list[dict[str, Any]]
) -> ReplicatedSearch | RoundsSearch:
    """What Ray Tune asks for trials."""
    if spec.search == "optuna":
        return optuna_search(spec, OptunaSpace(spec, propose), suggested)
    metric = "validation_loss" if spec.search == "tuned" else "test_loss"

    def read_losses(trial: TrialConfig) -> Losses | None:
        return _window_losses(experiment_dir / trial.name, metric)

    def proposed(rounds: Iterator[list[TrialConfig]]) -> Iterator[list[Proposal]]:
        return ([propose(trial) for trial in one] for one in rounds)

    # Ray's default is one: right for a search that learns, slow for a list.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(len(candidate_trials(spec)), 64))
    side_by_side = [proposed(lane) for lane in lanes(spec, read_losses)]
    return RoundsSearch(side_by_side, proposed(further_seeds(spec, read_losses)))


def _diverged_in_tuning(result: tune.Result) -> bool:
    """Whether a trial has only shown where its range ends, for which it was run."""
    tuned = (result.config or {}).get("evaluate_on") == "validation"
    return tuned and (Path(result.path) / DIVERGED_FILE).exists()


def _window_losses(folder: Path, metric: str) -> Losses | None:
    path = folder / WINDOW_LOSSES_FILE
    if not path.exists():
        return None
    return np.asarray(json.loads(path.read_text(encoding="utf-8"))[metric])


def _trial_name(trial: Any) -> str:
    return trial_config(trial.config).name
