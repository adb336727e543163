"""The trials of a sweep handed to Ray Tune."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch
from rich.console import Console
from transformers import GPT2Config

from sweep.inputs import SweepInputs
from sweep.live import LiveTable, trial_config
from sweep.memory_plan import PLAN, Device, MemoryPlan, plan_trial
from sweep.out_of_memory import read_attempts
from sweep.packing import Packing
from sweep.search_space import OptunaSpace, enumerate_trials
from sweep.spec import Resources, SweepSpec
from sweep.trainable import Trainable
from sweep.trial import TrialConfig

MINIMISED = ("test_loss", "train_loss")


class ListSearch(Searcher):  # type: ignore[misc]  # Ray has no types
    """Proposes a fixed list of trials in its order. Ray's own grid can't express a union of conditional grids."""

    def __init__(self, proposals: list[dict[str, Any]]) -> None:
        """`proposals` are configs as Ray has them, see `Proposals`."""
        super().__init__()
        self._waiting = proposals[::-1]

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next trial's config, or FINISHED."""
        return self._waiting.pop() if self._waiting else str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A list learns nothing from results."""

    def save(self, checkpoint_path: str) -> None:
        """Ray wants a file. Nothing is kept: --resume proposes the list again, and finished trials replay."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


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
    """How the trials of a sweep ended; `interrupted` ones were stopped or never started."""

    finished: int
    failed: int
    interrupted: int


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
    planned = [] if spec.search == "optuna" else enumerate_trials(spec)
    total = spec.trials if spec.search == "optuna" and spec.trials else len(planned)
    objective = spec.metric if spec.search == "optuna" else None
    search = _optuna(spec, propose, suggested) if spec.search == "optuna" else ListSearch([*map(propose, planned)])
    if spec.search != "optuna":  # Ray's default is one: right for a search that learns, slow for a list
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(len(planned), 64))
    trainable = tune.with_parameters(Trainable, inputs=inputs, objective=objective)
    with LiveTable(planned, total, console) as live:
        results = tune.Tuner(
            tune.with_resources(trainable, shares),
            tune_config=tune.TuneConfig(
                search_alg=search,
                scheduler=RetryAlone(shares.alone, inputs.began),
                num_samples=total,
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
    return Outcome(finished, results.num_errors, total - finished - results.num_errors)


def _optuna(spec: SweepSpec, propose: Proposals, suggested: list[dict[str, Any]]) -> OptunaSearch:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Told results take no random draws, so an unchanged seed would propose the first configs once more.
    sampler = optuna.samplers.TPESampler(seed=spec.search_seed + len(suggested))
    return OptunaSearch(
        OptunaSpace(spec, propose),
        metric=spec.metric,
        mode="min" if spec.metric in MINIMISED else "max",
        sampler=sampler,
        points_to_evaluate=suggested or None,
    )


def _trial_name(trial: Any) -> str:
    return trial_config(trial.config).name
