"""The trials of a sweep handed to Ray Tune."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from rich.console import Console
from transformers import GPT2Config

from basis.directory import FINISHED_FILE, WINDOW_LOSSES_FILE
from basis.disks import trouble
from basis.errors import RayDiedError, first_line
from basis.metrics import NOT_JUDGED
from basis.outcome_file import read_outcome
from basis.outcomes import Outcome
from basis.stages import Stage
from sweep.cluster.environment import ray_folder
from sweep.inputs import SweepInputs
from sweep.memory.packing import Packing
from sweep.memory.plan import PLAN, Device, MemoryPlan, plan_trial
from sweep.search_space import OptunaSpace, candidate_trials, least_trials
from sweep.spec.schema import Resources, SweepSpec
from sweep.trainable import Trainable
from sweep.trial.config import TrialConfig
from sweep.tune.counts import SweepCounts
from sweep.tune.hang import HangWatch
from sweep.tune.live import LiveTable, trial_config
from sweep.tune.rounds import Losses, best_of, further_seeds, lanes
from sweep.tune.searchers import Proposal, ReplicatedSearch, RoundsSearch, SearchThenRounds, optuna_search

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
        if trial.status == trial.RUNNING:
            return
        ending = read_outcome(Path(trial.path))
        if ending is not None and ending.outcome == Outcome.OUT_OF_MEMORY and ending.at >= self._began:
            trial.update_resources(self._alone)


class Endings(tune.Callback):  # type: ignore[misc]  # Ray has no types
    """How each trial ended, as Ray tells it. What Ray says after `fit` it reads from files, which a full disk cuts."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, bool] = {}
        """By the trial's id: whether it has only shown where the range that it tunes ends, for which it was run."""

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial has reported a row."""
        self.rows[trial.trial_id] = result

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has failed for good."""
        tuned = (trial.config or {}).get("evaluate_on") == Stage.TUNING
        ending = read_outcome(Path(trial.path))
        self.failed[trial.trial_id] = tuned and ending is not None and ending.outcome == Outcome.DIVERGED

    def counts(self, begun: int, is_exhausted: bool, disk: str | None) -> SweepCounts:
        """Args: how many trials were asked for, whether those are all, and what is wrong with a disk."""
        last = [row for trial, row in self.rows.items() if trial not in self.failed]
        finished = sum(bool(row.get("finished")) for row in last)
        unjudged = sum(bool(row.get("finished") and row.get(NOT_JUDGED)) for row in last)
        failed = sum(not diverged for diverged in self.failed.values())
        lost = begun - finished - len(self.failed)
        return SweepCounts(finished, failed, max(lost, int(not is_exhausted)), unjudged, disk)


def tune_trials(
    spec: SweepSpec,
    inputs: SweepInputs,
    shares: Shares,
    propose: Proposals,
    suggested: list[dict[str, Any]],
    console: Console,
) -> SweepCounts:
    """Run the trials under Ray, which must be running; trials that an earlier run finished replay their rows.

    Args:
        shares: what Ray sets aside for each trial.
        propose: how trials are executed.
        suggested: what Optuna suggested for trials of this experiment that have begun, to be told again first.
    """
    search = _search(spec, inputs.experiment_dir, propose, suggested)
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(snapshot_seconds(least_trials(spec)))
    samples = least_trials(spec) if isinstance(search, ReplicatedSearch) else -1
    planned = [] if spec.search == "optuna" else candidate_trials(spec)
    objective = spec.chosen_by if spec.search == "optuna" else None
    trainable = tune.with_parameters(Trainable, inputs=inputs, objective=objective)
    endings, folders, disk = Endings(), [inputs.experiment_dir, ray_folder()], None
    with LiveTable(planned, least_trials(spec), console) as live:
        tuner = tune.Tuner(
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
    is_exhausted = isinstance(search, ReplicatedSearch) or search.exhausted
    asked_for = samples if isinstance(search, ReplicatedSearch) else search.proposed
    begun = asked_for if is_exhausted else max(asked_for, least_trials(spec))  # some have not even been proposed
    return endings.counts(begun, is_exhausted, disk or (trouble(None, folders) if endings.failed else None))


@contextmanager
def faults_of_ray_told() -> Iterator[None]:
    """Tell faults of Ray, at which Ray Tune gives up, from ours.

    Raises:
        RayDiedError: something failed within for one of them, such as a connection that is lost.
    """
    try:
        yield
    except Exception as error:
        fault: BaseException | None = error
        while fault is not None and not isinstance(fault, ray.exceptions.RayError | ConnectionError):
            fault = fault.__cause__
        if fault is None:
            raise
        raise RayDiedError(f"{type(fault).__name__}: {first_line(fault)}") from error


def snapshot_seconds(trials: int) -> float:
    """How often Ray writes its own list of so many trials, all of it anew each time.

    The time between two writes grows with the list, so that writing takes the same share of a sweep however many its
    trials. Nothing that has finished hangs on it: what a trial keeps is written by the trial, and a sweep is continued
    (`trial_run`) and reported (`analysis.results.state`) from that.
    """
    return max(SNAPSHOT_SECONDS, trials * SECONDS_PER_TRIAL)


def _search(
    spec: SweepSpec, experiment_dir: Path, propose: Proposals, suggested: list[dict[str, Any]]
) -> ReplicatedSearch | RoundsSearch | SearchThenRounds:
    """What Ray Tune asks for trials."""
    metric = spec.chosen_by if spec.chooses_on_validation else "test_loss"

    def read_losses(trial: TrialConfig) -> Losses | None:
        return _losses(experiment_dir / trial.name, metric)

    def proposed(rounds: Iterator[list[TrialConfig]]) -> Iterator[list[Proposal]]:
        return ([propose(trial) for trial in one] for one in rounds)

    if spec.search == "optuna":
        search = optuna_search(spec, OptunaSpace(spec, propose), suggested)
        if not spec.chooses_on_validation:
            return search

        def best(tried: list[Proposal]) -> Iterator[list[Proposal]]:
            return proposed(best_of(spec, [trial_config(one) for one in tried], read_losses))

        return SearchThenRounds(search, spec.trials or 1, best)
    # Ray's default is one: right for a search that learns, slow for a list.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(len(candidate_trials(spec)), 64))
    side_by_side = [proposed(lane) for lane in lanes(spec, read_losses)]
    return RoundsSearch(side_by_side, proposed(further_seeds(spec, read_losses)))


def _losses(folder: Path, metric: str) -> Losses | None:
    """The losses of a finished trial by window; the train loss is one number."""
    path = folder / (FINISHED_FILE if metric == "train_loss" else WINDOW_LOSSES_FILE)
    if not path.exists():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    return np.atleast_1d(np.asarray(kept["rows"][-1][metric] if metric == "train_loss" else kept[metric]))


def _trial_name(trial: Any) -> str:
    return trial_config(trial.config).name
