"""A made sweep goes to all trackers by the process that stands beside a sweep, is cut short, and goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from basis.directory import EVENTS_FILE, FINISHED_FILE, SPEC_FILE
from basis.outcome_file import keep_outcome
from basis.outcomes import Ending, Outcome
from sweep.machine.environment import with_our_code
from sweep.progress.event_file import append_events
from sweep.progress.events import EndEvent, EndState, Event, OverEvent, RowEvent, StartEvent, SweepEvent
from sweep.schema.tracking import TRACKERS
from sweep.tracking.follow import Orders
from tests.sweep.tracking.read_back import of_mlflow, of_tensorboard, of_trackio_in, of_wandb
from tests.sweep.tracking.test_post import hook

SWEEP = "a sweep"
UNSET = ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR", "TRACKIO_DIR")


def started(trial: str) -> StartEvent:
    config = {"lr": 0.1, "targets": ["mlp_in"], "peft": {"r": 8}, "rank": None, "evaluate_on": "test"}
    return StartEvent(
        time=1e9, trial=trial, label=f"arm of {trial}", seed=3, steps=9, kind="k", config=config, device="cpu"
    )


def row(trial: str, step: int, loss: float, **more: float) -> RowEvent:
    return RowEvent(time=1e9 + step, trial=trial, step=step, metrics={"test_loss": loss, **more})


def write(folder: Path, *events: Event) -> None:
    for event in events:
        append_events(folder / EVENTS_FILE, event)


def follow(
    folder: Path, events: list[Event], exit_code: int | None = 0, notify: str | None = None, **environment: str
) -> list[str]:
    """Have the process follow while these events are written; what it says."""
    path = folder / EVENTS_FILE
    orders = Orders(SWEEP, str(folder), TRACKERS, notify, path.stat().st_size if path.exists() else 0)
    words = [sys.executable, "-m", "sweep.tracking.follow"]
    own = {name: value for name, value in with_our_code().items() if name not in UNSET}
    variables = {**own, "NETRC": os.devnull, **environment}
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables, cwd=folder
    ) as process:
        assert process.stdin is not None
        process.stdin.write(orders.to_line())
        process.stdin.flush()
        write(folder, *events)
        told = "" if exit_code is None else json.dumps({"exit_code": exit_code}) + "\n"
        said, _ = process.communicate(told)
    return said.splitlines()


def experiment(tmp_path: Path) -> Path:
    folder = tmp_path / "an experiment"
    for trial in ("one", "two", "three"):
        (folder / trial).mkdir(parents=True)
    (folder / SPEC_FILE).write_text("name: a sweep\n")
    return folder


@pytest.mark.slow
def test_a_sweep_that_is_cut_short_goes_on_in_the_same_runs(tmp_path: Path) -> None:
    folder = experiment(tmp_path)
    begun = SweepEvent(time=1e9, total=3, pid=1)
    first = [begun, started("one"), row("one", 3, 2.5, peak_bytes=7), started("two"), row("two", 3, 2.25)]
    first += [EndEvent(time=1e9 + 4, trial="two", state=EndState.FAILED, reason="FloatingPointError: nan")]
    keep_outcome(folder / "two", Ending(Outcome.DIVERGED, "FloatingPointError: nan"))
    with hook((200, {})) as (url, came):
        assert follow(folder, first, exit_code=None, notify=url) == []
    bodies = [json.loads(one["body"]) for one in came]
    assert [(body["event"], body["version"]) for body in bodies] == [("trials_diverged", 1), ("sweep_failed", 1)]
    assert bodies[0]["trials"][0]["trial"] == "two"
    assert bodies[1]["exit_code"] is None
    assert all(body["text"] == body["content"] and body["experiment"] == folder.name for body in bodies)

    kept = of_mlflow(folder / "tracking", SWEEP)
    assert {trial: [run.status for run in runs] for trial, runs in kept.items()} == {
        "one": ["KILLED"],
        "two": ["FAILED"],
    }

    copied, runs_before = Path(shutil.copytree(folder, tmp_path / "a copy")), of_wandb(folder / "tracking")
    follow(copied, [begun, started("one"), row("one", 6, 1.5)])
    assert of_wandb(copied / "tracking")["one"][0].curves["test_loss"] == {3: 2.5, 6: 1.5}
    assert of_wandb(folder / "tracking") == runs_before, "a copy that goes on takes the runs of what it was copied from"

    last = {"step": 9, "test_loss": 1.125, "win_rate": 0.75}
    (folder / "one" / FINISHED_FILE).write_text(json.dumps({"rows": [last]}))  # judged after its last event
    again = [begun, started("one"), row("one", 3, 2.5, peak_bytes=7), row("one", 6, 1.5), row("one", 9, 1.125)]
    again += [EndEvent(time=1e9 + 9, trial="one", state=EndState.FINISHED)]
    again += [started("two"), EndEvent(time=1e9 + 9, trial="two", state=EndState.FAILED, reason="nan")]
    again += [OverEvent(time=1e9 + 9, finished=1, failed=1, interrupted=0)]
    with hook((200, {})) as (url, came):
        assert follow(folder, again, exit_code=1, notify=url) == []
    [body] = [json.loads(one["body"]) for one in came]  # the trial that diverged was told of before
    assert (body["event"], body["finished"], body["failed"], body["exit_code"]) == ("sweep_ended", 1, 1, 1)
    assert follow(folder, []) == []  # nothing is left to send

    losses, all_kept = (
        {3: 2.5, 6: 1.5, 9: 1.125},
        {
            "mlflow": of_mlflow(folder / "tracking", SWEEP),
            "wandb": of_wandb(folder / "tracking"),
            "trackio": of_trackio_in(folder / "tracking" / "trackio", SWEEP),
            "tensorboard": {trial: [of_tensorboard(folder / trial)] for trial in ("one", "two")},
        },
    )
    statuses = {"mlflow": ("FINISHED", "FAILED"), "wandb": ("0", "1"), "trackio": ("finished", "diverged")}
    for tracker, runs in all_kept.items():
        assert runs.keys() == {"one", "two"}, tracker
        assert all(len(of_trial) == 1 for of_trial in runs.values()), tracker
        [one], [two] = runs["one"], runs["two"]
        assert one.curves["test_loss"] == losses, tracker
        assert two.curves["test_loss"] == {3: 2.25}, tracker
        assert float(one.params["lr"]) == 0.1
        assert str(float(one.params["peft.r"])) == "8.0"
        assert (one.status, two.status) == statuses.get(tracker, ("1", "2")), tracker
        won = one.params.get("summary.win_rate", one.curves.get("win_rate", {}).get(9))
        assert won == 0.75, tracker


@pytest.mark.slow
def test_a_tracker_that_is_away_costs_a_line_and_is_sent_everything_later(tmp_path: Path) -> None:
    folder = experiment(tmp_path)
    events: list[Event] = [SweepEvent(time=1e9, total=1, pid=1), started("one"), row("one", 3, 2.5)]
    events += [EndEvent(time=1e9 + 9, trial="one", state=EndState.FINISHED)]
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "WANDB_MODE": "online"}
    said = follow(folder, events, **away)
    assert {line.partition(":")[0] for line in said} == {"mlflow", "wandb"}
    assert sum("lacks rows of 1 trial" in line for line in said) == 2
    assert follow(folder, []) == []
    assert of_mlflow(folder / "tracking", SWEEP)["one"][0].curves["test_loss"] == {3: 2.5}
    assert of_wandb(folder / "tracking")["one"][0].curves["test_loss"] == {3: 2.5}
