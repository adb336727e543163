"""A real sweep that is controlled while it runs: its directory, its report and a resume keep to what was asked."""

import csv
import json
import subprocess
from pathlib import Path

import pytest

from basis.control_record import read_decisions
from basis.directory import FINISHED_FILE, RESULT_FILE
from basis.packages import ROOT
from sweep import control
from sweep.steering.request import Request, write_request
from tests.conftest import PATIENCE_SECONDS, Parts, command, wait_for
from tests.sweep.test_interrupted_sweeps import LONG


def outcomes(experiment: Path) -> dict[str, str]:
    with (experiment / "report" / "trials.csv").open(encoding="utf-8", newline="") as file:
        return {row["trial"].rpartition("-")[0]: row["outcome"] for row in csv.DictReader(file)}


@pytest.mark.slow
def test_a_sweep_is_controlled_while_it_runs_and_keeps_to_it_when_it_goes_on(
    parts: Parts, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = [
        {"method": "full", "optimizer": "adamw", "lr": 1e-3},
        {"method": "lora", "rank": 2, "optimizer": "sgd", "lr": 1e-2, "steps": 20},
    ]
    spec = parts.write_spec(tmp_path, space=space, trial=LONG, reward={"model": None}, checkpoint_seconds=0)
    experiment = tmp_path / "experiment"

    def started(*words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(command(*words), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)

    driver = started(spec, "--output", experiment)
    wait_for(lambda: bool(list(experiment.glob("full*/checkpoint.pt"))))
    [long] = [path.name for path in experiment.glob("full*")]

    def ask(*words: str) -> tuple[int, str]:
        code = control.main([str(experiment), *words])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    assert ask("clone", long, "lr=3e-4", "steps=20")[0] == 0
    assert ask("seeds", "+1", "lora r2 sgd")[0] == 0
    assert ask("clone", long, "lr=0") == (2, "error: lr: 0 is not accepted; accepted: a number above 0\n")
    code, answer = ask("stop", str(experiment / long))  # as a shell completes it
    assert (code, answer.startswith(f"{long} stops at its next report")) == (0, True)
    output, _ = driver.communicate(timeout=PATIENCE_SECONDS)
    assert driver.returncode == 0, output
    assert "3 finished, 0 failed, 0 interrupted, 1 stopped by request" in output
    report = (experiment / "report" / "report.md").read_text(encoding="utf-8")
    assert "Added while the sweep ran: " in " ".join(report.split())
    first = {
        "full-adamw-lr0.0003-s0": "finished",
        "full-adamw-lr0.001-s0": "stopped by request",
        "lora-r2-sgd-lr0.01-s0": "finished",
        "lora-r2-sgd-lr0.01-s1": "finished",
    }
    assert outcomes(experiment) == first
    assert ask("stop")[1].startswith(f"error: {experiment}: its sweep has finished and takes no requests")

    kept = {path: path.read_bytes() for path in experiment.glob(f"*/{FINISHED_FILE}")}
    write_request(experiment, Request("clone", "page", long, {"lr": 1e-4, "steps": 20}))  # as those of a killed sweep
    write_request(experiment, Request("start", "page", long))
    reported = (experiment / long / RESULT_FILE).stat().st_size
    driver = started("--resume", experiment)
    wait_for(lambda: bool(list(experiment.glob(f"full-adamw-lr0.0001-*/{FINISHED_FILE}"))))
    wait_for(lambda: (experiment / long / RESULT_FILE).stat().st_size > reported)
    assert ask("stop") == (0, "the sweep stops as after Ctrl-C; --resume continues it\n")
    output, _ = driver.communicate(timeout=PATIENCE_SECONDS)
    assert driver.returncode == 130, output
    assert f"continue with: python -m sweep.run --resume {experiment}" in output
    assert outcomes(experiment) == {
        **first,
        "full-adamw-lr0.0001-s0": "finished",
        "full-adamw-lr0.001-s0": "interrupted",
    }
    assert {path: path.read_bytes() for path in kept} == kept
    assert [decision.words for decision in read_decisions(experiment)] == [
        f"clone {long} lr=0.0003 steps=20",
        "seeds +1 'lora r2 sgd'",
        f"stop {long}",
        f"clone {long} lr=0.0001 steps=20",
        f"start {long}",
        "stop",
    ]
    [clone] = list(experiment.glob(f"full-adamw-lr0.0003*/{FINISHED_FILE}"))
    config = json.loads(clone.read_text(encoding="utf-8"))["config"]
    assert (config["lr"], config["steps"], config["seed"]) == (3e-4, 20, 0)
