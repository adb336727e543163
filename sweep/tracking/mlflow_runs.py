"""Runs of MLflow: on the server or in the store of MLFLOW_TRACKING_URI, or else in the experiment's mlflow.db."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from basis.outcomes import Outcome
from sweep.tracking.sent import SentTrial
from sweep.tracking.tracker import Place, RunToOpen
from sweep.tracking.trials import Ended, Numbers, TrackedRow

MOST_METRICS, MOST_PARAMS, MOST_LETTERS = 1000, 100, 5000
"""What MLflow takes at once, and of a value: its documented limits."""

Item = TypeVar("Item")

STATUS = {Outcome.FINISHED: "FINISHED", Outcome.STOPPED_BY_REQUEST: "KILLED"}


class MLflowRuns:
    """A run of MLflow for each trial."""

    def __init__(self, place: Place) -> None:
        """Find the experiment, or make it."""
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            place.folder.mkdir(exist_ok=True)
            uri = f"sqlite:///{place.folder / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or place.sweep
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(name)

    def open(self, run: RunToOpen, sent: SentTrial | None) -> SentTrial:
        """See `Tracker`. A run that is there already is found by its tags."""
        if sent is None:
            named = {name: run.tags[name].replace("'", "") for name in ("experiment", "trial")}
            wanted = " and ".join(f"tags.{name} = '{value}'" for name, value in named.items())
            found = self._client.search_runs([self._experiment], wanted, max_results=1)
            sent = SentTrial(found[0].info.run_id if found else self._begin(run, named))
        self._client.update_run(sent.run, status="RUNNING")
        return sent

    def _begin(self, run: RunToOpen, named: dict[str, str]) -> str:
        tags: dict[str, Any] = {**run.tags, **named, "mlflow.runName": run.name}
        made = self._client.create_run(self._experiment, start_time=_milliseconds(run.time), tags=tags)
        params = [Param(name, str(value)[:MOST_LETTERS]) for name, value in run.params.items()]
        for some in _batches(params, MOST_PARAMS):
            self._client.log_batch(made.info.run_id, params=some)
        return str(made.info.run_id)

    def log(self, sent: SentTrial, rows: Sequence[TrackedRow]) -> None:
        """See `Tracker`."""
        metrics = [
            Metric(name, value, _milliseconds(row.time), row.step)
            for row in rows
            for name, value in row.metrics.items()
        ]
        for some in _batches(metrics, MOST_METRICS):
            self._client.log_batch(sent.run, metrics=some)

    def end(self, sent: SentTrial, ended: Ended | None, final: Numbers, news: Numbers) -> None:
        """See `Tracker`. A trial that the sweep's end has cut short is KILLED, until it goes on."""
        if ended is None:
            self._client.set_terminated(sent.run, "KILLED")
            return
        self.log(sent, [TrackedRow(sent.step, ended.time, news)])
        told = [RunTag("outcome", ended.outcome.value), RunTag("reason", ended.reason[:MOST_LETTERS])]
        self._client.log_batch(sent.run, tags=told)
        self._client.set_terminated(sent.run, STATUS.get(ended.outcome, "FAILED"), _milliseconds(ended.time))


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _batches(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    return (items[begin : begin + most] for begin in range(0, len(items), most))
