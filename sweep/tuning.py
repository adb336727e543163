"""The trials of a sweep handed to Ray Tune."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch
from rich.console import Console

from sweep.inputs import SweepInputs
from sweep.live import LiveTable, trial_config
from sweep.search_space import OptunaSpace, enumerate_trials
from sweep.spec import Resources, SweepSpec
from sweep.trainable import Trainable
from sweep.trial import TrialConfig

MINIMISED = ("test_loss", "train_loss")


class ListSearch(Searcher):  # type: ignore[misc]  # Ray has no types
    """Proposes a fixed list of trials in its order. Ray's own grid can't express a union of conditional grids."""

    def __init__(self, trials: list[TrialConfig]) -> None:
        super().__init__()
        self._waiting = [trial.model_dump(mode="json") for trial in reversed(trials)]

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
class Outcome:
    """How the trials of a sweep ended; `interrupted` ones were stopped or never started."""

    finished: int
    failed: int
    interrupted: int


def tune_trials(
    spec: SweepSpec,
    inputs: SweepInputs,
    resources: Resources,
    suggested: list[dict[str, Any]],
    console: Console,
) -> Outcome:
    """Run the trials under Ray, which must be running; trials that an earlier run finished replay their rows.

    Args:
        suggested: what Optuna suggested for trials of this experiment that have begun, to be told again first.
    """
    planned = [] if spec.search == "optuna" else enumerate_trials(spec)
    total = spec.trials if spec.search == "optuna" and spec.trials else len(planned)
    objective = spec.metric if spec.search == "optuna" else None
    search = _optuna(spec, suggested) if spec.search == "optuna" else ListSearch(planned)
    if spec.search != "optuna":  # Ray's default is one: right for a search that learns, slow for a list
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(min(len(planned), 64))
    trainable = tune.with_parameters(Trainable, inputs=inputs, objective=objective)
    with LiveTable(planned, total, console) as live:
        results = tune.Tuner(
            tune.with_resources(trainable, {"cpu": resources.cpu, "gpu": resources.gpu}),
            tune_config=tune.TuneConfig(
                search_alg=search,
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


def _optuna(spec: SweepSpec, suggested: list[dict[str, Any]]) -> OptunaSearch:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Told results take no random draws, so an unchanged seed would propose the first configs once more.
    sampler = optuna.samplers.TPESampler(seed=spec.search_seed + len(suggested))
    return OptunaSearch(
        OptunaSpace(spec),
        metric=spec.metric,
        mode="min" if spec.metric in MINIMISED else "max",
        sampler=sampler,
        points_to_evaluate=suggested or None,
    )


def _trial_name(trial: Any) -> str:
    return trial_config(trial.config).name
