"""Sweeps that are interrupted: what is finished stays, and what goes on gives the losses of one never stopped."""

import json
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from basis.directory import EVENTS_FILE, FINISHED_FILE, SWEEP_FILE, TRAINED_FILE
from basis.packages import ROOT
from sweep.inputs import SweepInputs
from sweep.machine.hardware import allowed_cpus
from sweep.memory.device import Device
from sweep.memory.plan import plan_trial
from sweep.memory.shape import read_shape
from sweep.progress.event_file import read_events
from sweep.progress.progress import State, fold
from sweep.search_space import enumerate_trials
from sweep.spec_file.load import load_spec
from sweep.trial.config import TrialConfig
from sweep.worker.opening import open_trial
from tests.conftest import PATIENCE_SECONDS, Here, Parts, command, run, wait_for
from tests.sweep.test_run import ours, rows
from tests.sweep.worker.test_trial_run import timeless

LONG = {"steps": 4000, "batch_size": 4, "block_size": 32, "test_every": 20, "test_windows": 4}


@pytest.mark.slow
def test_resuming_a_killed_driver_keeps_finished_trials_and_gives_the_losses_of_an_unbroken_sweep(
    parts: Parts, environment: dict[str, str], here: Here, tmp_path: Path
) -> None:
    short, long = {**LONG, "steps": 20}, {**LONG, "steps": 400}
    space = [
        {"method": "full", "optimizer": "adamw", "lr": 1e-3, "steps": short["steps"]},
        {"method": "lora", "rank": 2, "optimizer": "adamw", "lr": 1e-2},
    ]
    spec = parts.write_spec(tmp_path, space=space, trial=long, checkpoint_seconds=0)
    # one trial at a time, so that the first has finished when the driver is killed in the second
    resources = json.dumps({"cpu": allowed_cpus()})
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    driver = subprocess.Popen(
        command(spec, "--output", broken, "--set", f"resources={resources}"),
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: bool(list(broken.glob("lora*/checkpoint.pt"))))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    [finished] = broken.glob(f"full*/{FINISHED_FILE}")
    assert not list(broken.glob(f"lora*/{FINISHED_FILE}"))
    kept = finished.read_bytes(), finished.stat().st_mtime_ns

    record = json.loads((broken / SWEEP_FILE).read_text())
    (broken / SWEEP_FILE).write_text(json.dumps({**record, "identity": {**record["identity"], "data": "other"}}))
    code, _, errors = here("--resume", broken)
    assert code == 2
    assert "changed since the sweep began: data" in errors
    (broken / SWEEP_FILE).write_text(json.dumps(record))

    resumed = run(environment, "--resume", broken)
    assert resumed.returncode == 0, resumed.stderr
    assert "finished before: 1\n" in resumed.stdout
    assert len(json.loads((broken / SWEEP_FILE).read_text())["continued"]) == 1
    assert (finished.read_bytes(), finished.stat().st_mtime_ns) == kept
    events, _, _ = read_events(broken / EVENTS_FILE, 0)
    assert [event.event for event in events].count("sweep") == 2, "what happens is told after what has happened"
    assert fold(events).counts()[State.FINISHED] == 2
    assert run(environment, spec, "--output", whole, "--set", f"resources={resources}").returncode == 0
    for trial in sorted(path.parent for path in whole.glob(f"*/{FINISHED_FILE}")):
        again = broken / trial.name
        last = {row["step"]: row for row in rows(again)}
        assert ours(list(last.values())) == ours(rows(trial))
        left, right = load_file(again / TRAINED_FILE), load_file(trial / TRAINED_FILE)
        assert all(torch.equal(left[name], right[name]) for name in right)


def rows_never_stopped(config: TrialConfig, inputs: SweepInputs) -> list[dict[str, Any]]:
    """What a trial without rewards reports that runs here from its beginning to its end."""
    trial = open_trial(
        config,
        replace(inputs, reward=inputs.reward.model_copy(update={"model": None}), checkpoint_seconds=1e9),
        plan=plan_trial(config, read_shape(inputs.base_model, "model.name"), Device("cpu"), None),
    )
    reported = [trial.advance()]
    while not reported[-1].get("finished"):
        reported.append(trial.advance())
    trial.close()
    return reported


@pytest.mark.slow
def test_a_trial_whose_worker_is_killed_goes_on_from_its_checkpoint_within_the_sweep(
    parts: Parts, inputs: SweepInputs, environment: dict[str, str], tmp_path: Path
) -> None:
    space = [{"method": "lora", "rank": 2, "optimizer": "adamw", "lr": 1e-2, "dropout": 0.1}]
    spec = parts.write_spec(
        tmp_path, space=space, trial={**LONG, "steps": 400}, checkpoint_seconds=0, reward={"model": None}
    )
    experiment = tmp_path / "killed"
    driver = subprocess.Popen(
        command(spec, "--output", experiment), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: bool(list(experiment.glob("*/checkpoint.pt"))))
    [worker] = [p for p in psutil.Process(driver.pid).children(recursive=True) if "Trainable" in " ".join(p.cmdline())]
    worker.kill()
    output, _ = driver.communicate(timeout=PATIENCE_SECONDS)
    assert driver.returncode == 0, output
    [trial] = [path.parent for path in experiment.glob(f"*/{FINISHED_FILE}")]

    never_stopped = rows_never_stopped(enumerate_trials(load_spec(str(spec)))[0], inputs)
    assert timeless(json.loads((trial / FINISHED_FILE).read_text())["rows"]) == timeless(never_stopped)


@pytest.mark.slow
def test_ctrl_c_reports_what_there_is_and_says_how_to_go_on(
    parts: Parts, environment: dict[str, str], tmp_path: Path
) -> None:
    experiment = tmp_path / "experiment"
    spec = parts.write_spec(tmp_path, trial=LONG, checkpoint_seconds=0)
    driver = subprocess.Popen(
        command(spec, "--output", experiment), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: bool(list(experiment.glob("*/checkpoint.pt"))))
    driver.send_signal(signal.SIGINT)
    output, _ = driver.communicate(timeout=PATIENCE_SECONDS)
    assert driver.returncode == 130
    assert "2 interrupted" in output
    assert f"continue with: python -m sweep.run --resume {experiment}" in output
    assert (experiment / "report" / "report.html").exists()
    assert list(experiment.glob("*/checkpoint.pt"))
