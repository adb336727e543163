"""What trackers have kept, read back from their own stores as {trial: {metric: {step: value}}} and more."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from mlflow import MlflowClient
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from trackio.sqlite_storage import SQLiteStorage
from wandb.proto.wandb_internal_pb2 import Record

from sweep.machine.environment import with_our_code

Curves = dict[str, dict[int, float]]


class KeptRun(NamedTuple):
    """A run as a tracker has it: its curves by metric and step, its parameters, and how it ended in its own words."""

    curves: Curves
    params: dict[str, Any]
    status: str


def of_mlflow(folder: Path, experiment: str) -> dict[str, list[KeptRun]]:
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    found = client.get_experiment_by_name(experiment)
    kept: dict[str, list[KeptRun]] = {}
    for run in client.search_runs([found.experiment_id]):
        curves: Curves = {}
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            assert len({point.step for point in history}) == len(history), (name, "a step is there twice")
            curves[name] = {point.step: point.value for point in history}
        kept.setdefault(run.data.tags["trial"], []).append(KeptRun(curves, run.data.params, run.info.status))
    return kept


def of_trackio(project: str) -> dict[str, list[KeptRun]]:
    kept: dict[str, list[KeptRun]] = {}
    for name in SQLiteStorage.get_runs(project):
        curves: Curves = {}
        status = ""
        for row in SQLiteStorage.get_logs(project, name):
            status = row.pop("outcome", status)
            for metric, value in row.items():
                if isinstance(value, int | float) and metric != "step":
                    curves.setdefault(metric, {})[row["step"]] = value
        kept.setdefault(name, []).append(KeptRun(curves, SQLiteStorage.get_run_config(project, name) or {}, status))
    return kept


def of_trackio_in(folder: Path, project: str) -> dict[str, list[KeptRun]]:
    """In a process of its own, for Trackio reads where it keeps its runs as it is imported."""
    script = (
        "import json; from tests.sweep.tracking.read_back import of_trackio; "
        f"print(json.dumps({{t: [r._asdict() for r in rs] for t, rs in of_trackio({project!r}).items()}}))"
    )
    variables = {**with_our_code(), "TRACKIO_DIR": str(folder)}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=variables)
    return {
        trial: [KeptRun(_by_step(run["curves"]), run["params"], run["status"]) for run in runs]
        for trial, runs in json.loads(ran.stdout.splitlines()[-1]).items()
    }


def _by_step(curves: dict[str, dict[str, float]]) -> Curves:
    return {metric: {int(step): value for step, value in curve.items()} for metric, curve in curves.items()}


def of_wandb(folder: Path) -> dict[str, list[KeptRun]]:
    """Of the files that `wandb sync` reads: records of W&B's own protocol, in the log format of LevelDB."""
    kept: dict[str, list[KeptRun]] = {}
    for path in sorted((folder / "wandb").glob("offline-run-*/run-*.wandb")):
        curves: Curves = {}
        params: dict[str, Any] = {}
        name, code = "", -1
        for record in map(Record.FromString, _leveldb_records(path.read_bytes())):
            match record.WhichOneof("record_type"):
                case "run":
                    name = record.run.display_name
                    params |= {one.key: json.loads(one.value_json) for one in record.run.config.update}
                case "history":
                    row = {(i.key or ".".join(i.nested_key)): json.loads(i.value_json) for i in record.history.item}
                    for metric, value in row.items():
                        if not metric.startswith("_"):
                            curves.setdefault(metric, {})[row["_step"]] = value
                case "summary":
                    for item in record.summary.update:
                        params[f"summary.{item.key or '.'.join(item.nested_key)}"] = json.loads(item.value_json)
                case "exit":
                    code = record.exit.exit_code
        kept.setdefault(name, []).append(KeptRun(curves, params, str(code)))
    return kept


def _leveldb_records(data: bytes) -> list[bytes]:
    block, place, parts, records = 32768, 7, b"", []
    while place + 7 <= len(data):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        part = data[place + 7 : place + 7 + length]
        place += 7 + length
        parts = part if kind in (1, 2) else parts + part
        if kind in (1, 4):
            records.append(parts)
    return records


def of_tensorboard(trial_dir: Path) -> KeptRun:
    curves: Curves = {}
    params: dict[str, Any] = {}
    status = ""
    for path in sorted(trial_dir.glob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack("<Q", data[place : place + 8])
            event = Event.FromString(data[place + 12 : place + 12 + length])
            place += 16 + length
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    told = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                    for name, one in told.session_start_info.hparams.items():
                        params[name] = getattr(one, str(one.WhichOneof("kind")))
                    if told.HasField("session_end_info"):
                        status = str(told.session_end_info.status)
                elif value.WhichOneof("value") == "simple_value":
                    steps = curves.setdefault(value.tag, {})
                    assert event.step not in steps, (value.tag, "a step is there twice")
                    steps[event.step] = value.simple_value
    return KeptRun(curves, params, status)
