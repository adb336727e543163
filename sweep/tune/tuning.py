"""The trials of a sweep handed to Ray Tune."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback
from rich.console import Console

from basis.control_record import Decision
from basis.directory import EVENTS_FILE, FINISHED_FILE, WINDOW_LOSSES_FILE
from basis.disks import trouble
from sweep.cluster.environment import ray_folder
from sweep.inputs import SweepInputs
from sweep.memory.shape import check_trials_fit
from sweep.proposal import Proposal, TrialPlanner
from sweep.schema.limits import Limits
from sweep.search_space import OptunaSpace, SweepPlan
from sweep.steering.desk import Desk
from sweep.trainable import Trainable
from sweep.trial.config import TrialConfig
from sweep.tune.brought import BringTrials
from sweep.tune.control import RequestsFirst, SteeredSearch, StopAsAsked, TakeRequests
from sweep.tune.counts import SweepCounts
from sweep.tune.endings import Endings, LeaveAtEnd, TrialsOver, faults_of_ray_told
from sweep.tune.event_log import EventLog
from sweep.tune.hang import HangWatch
from sweep.tune.limited import LimitedSearch
from sweep.tune.live import LiveTable
from sweep.tune.past import Past
from sweep.tune.rounds import Losses, ReadLosses, Rounds
from sweep.tune.searchers import RayConfig, RoundsSearch, SearchThenRounds, optuna_search
from sweep.tune.shares import Shares

SNAPSHOT_SECONDS, SECONDS_PER_TRIAL = 10.0, 0.1

MOST_PENDING = 64
"""Trials of a list that Ray keeps ready. Its default, one, suits a search that learns and is slow for a list."""


def tune_trials(
    plan: SweepPlan,
    inputs: Mapping[str | None, SweepInputs],
    planner: TrialPlanner,
    shares: Shares,
    limits: Limits,
    console: Console,
    bring: Callable[[str], None] | None = None,
) -> SweepCounts:
    """Run the trials under Ray, which must be running; trials that an earlier run finished are counted.

    Args:
        plan: the sweep and its trials.
        inputs: what its trials share, by what they say of their base model.
        planner: plans the memory of each trial.
        shares: what Ray sets aside for each trial.
        limits: what they may take together.
        console: where the live table is drawn.
        bring: brings what a trial has stored that ran where `experiment_dir` is not; None: all nodes share it.
    """
    spec, shared = plan.spec, next(iter(inputs.values()))
    experiment_dir = shared.experiment_dir
    folders, disk = [experiment_dir, ray_folder()], None
    with LiveTable(console) as live:
        log = EventLog(experiment_dir / EVENTS_FILE, live.hear, live.tell, live.progress.add)
        endings = Endings(log, shared.began)
        desk = Desk(experiment_dir, plan, _fitting(plan, planner), lambda decision: live.tell(_told(decision)))
        past = Past(inputs, log, endings)
        search = _search(plan, desk, planner, past)
        log.begin(plan, inputs)
        if past.finished:
            live.tell(f"finished before: {past.finished:,}")
        brought = BringTrials(bring, live.tell) if bring else None
        told = [log, live, endings, TakeRequests(desk), HangWatch(spec.hang, live.tell), *_ray_files(), LeaveAtEnd()]
        tuner = tune.Tuner(
            tune.with_resources(_trainable(plan, inputs), shares),
            tune_config=tune.TuneConfig(
                search_alg=LimitedSearch(search, limits, shares.gpus),
                scheduler=RequestsFirst(desk, shares.alone, shared.began),
                num_samples=-1,  # until the search says that there are no more
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=experiment_dir.name,
                storage_path=str(experiment_dir.parent),
                failure_config=tune.FailureConfig(max_failures=spec.max_failures),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # trials keep their own, see TrialRun
                stop=StopAsAsked(desk),
                callbacks=[brought, *told] if brought else told,
                verbose=0,
            ),
        )
        try:
            with faults_of_ray_told(), suppress(TrialsOver):
                tuner.fit()
        except Exception as error:
            if (disk := trouble(error, folders)) is None:
                raise
        finally:
            desk.close()
            if brought is not None:
                brought.bring_running()
            begun = search.proposed if search.exhausted else max(search.proposed, plan.least_trials)
            counts = endings.counts(begun, search.exhausted, disk)
            log.end(counts)
    return replace(counts, disk=disk or (trouble(None, folders) if endings.failed else None))


def _trainable(plan: SweepPlan, inputs: Mapping[str | None, SweepInputs]) -> Any:
    """What Ray runs, with what it shares; sets what Ray reads of the environment when it begins."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # TensorBoard's files are ours, see `sweep.tracking`
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(snapshot_seconds(plan.least_trials))
    objective = plan.spec.chosen_by if plan.spec.search == "optuna" else None
    return tune.with_parameters(Trainable, inputs=inputs, objective=objective)


def _ray_files() -> list[tune.Callback]:
    """Ray's own result.json and params.json, and progress.csv, of each trial."""
    return [JsonLoggerCallback(), CSVLoggerCallback()]


def snapshot_seconds(trials: int) -> float:
    """How often Ray writes its own list of so many trials, all of it anew each time.

    The time between two writes grows with the list, so that writing takes the same share of a sweep however many its
    trials. Nothing that has finished hangs on it: what a trial keeps is written by the trial, and a sweep is continued
    (`sweep.worker.opening`) and reported (`analysis.results.state`) from that.
    """
    return max(SNAPSHOT_SECONDS, trials * SECONDS_PER_TRIAL)


def _search(plan: SweepPlan, desk: Desk, planner: TrialPlanner, past: Past) -> SteeredSearch:
    """The search of a sweep, Optuna's or rounds of listed trials: with what requests add, without what `past` has."""
    spec, experiment_dir = plan.spec, desk.experiment_dir
    metric = spec.chosen_by if spec.chooses_on_validation else "test_loss"
    rounds = Rounds(plan, _losses_in(experiment_dir, metric))

    def proposed(lane: Iterator[list[TrialConfig]]) -> Iterator[list[RayConfig]]:
        return ([planner.propose_to_ray(trial) for trial in trials] for trials in lane)

    if spec.search == "optuna":
        search = optuna_search(plan, OptunaSpace(spec, planner.propose_to_ray), experiment_dir)
        if not spec.chooses_on_validation:
            return SteeredSearch(search, desk, most=plan.least_trials, pass_by=past.pass_by)

        def best(tried: list[RayConfig]) -> Iterator[list[RayConfig]]:
            return proposed(rounds.best_of([Proposal.from_ray(config).config for config in tried]))

        return SteeredSearch(SearchThenRounds(search, spec.trials or 1, best), desk, pass_by=past.pass_by)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(len(plan.candidates), MOST_PENDING))
    rounds_search = RoundsSearch([proposed(lane) for lane in rounds.lanes()], proposed(rounds.further_seeds()))
    return SteeredSearch(rounds_search, desk, pass_by=past.pass_by)


def _fitting(plan: SweepPlan, planner: TrialPlanner) -> Callable[[TrialConfig], RayConfig]:
    """Makes of a trial that was not planned beforehand what Ray is given; refuses one that the model can't train by."""

    def propose(trial: TrialConfig) -> RayConfig:
        check_trials_fit(planner.shapes[trial.model], [trial], plan.spec.models[trial.model].name)
        return planner.propose_to_ray(trial)

    return propose


def _told(decision: Decision) -> str:
    """A decision as the sweep's output has it."""
    refused = "refused: " if decision.refused else ""
    return f"{decision.words} ({decision.asked}): {refused}{decision.answer}"


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
