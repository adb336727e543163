"""The real command, end to end: a sweep with a failing trial, a killed driver, Ctrl-C, bad specs and bad data."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from basis.directory import FINISHED_FILE, RESPONSES_FILE, SPEC_FILE, SWEEP_FILE, TRAINED_FILE
from basis.outcome_file import read_outcome
from basis.outcomes import Outcome
from basis.stages import Stage
from sweep.inputs import SweepInputs
from sweep.machine.hardware import allowed_cpus
from sweep.memory.plan import Device, plan_trial
from sweep.memory.shape import read_shape
from sweep.search_space import enumerate_trials
from sweep.spec_file.load import load_spec
from sweep.worker.opening import open_trial
from tests.conftest import ROOT, Here, Parts, Swept, command, run
from tests.sweep.worker.test_trial_run import timeless

LONG = {"steps": 4000, "batch_size": 4, "block_size": 32, "test_every": 20, "test_windows": 4}


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def rows(trial: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (trial / "result.json").read_text(encoding="utf-8").splitlines()]


def ours(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as the trial made them, without what Ray adds and without times."""
    known = {"step", "train_loss", "test_loss", "learning_rate", "peak_bytes", "win_rate", "reward_mean", "finished"}
    return timeless([{k: v for k, v in row.items() if k in known} for row in values])


def test_a_sweep_with_a_failing_trial_keeps_the_others_and_names_the_reason(swept: Swept) -> None:
    experiment, ran = swept.experiment, swept.ran
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    assert "2 finished, 1 failed" in ran.stdout
    report = (experiment / "report" / "report.md").read_text(encoding="utf-8")
    for text in (ran.stdout, report):
        assert "loss became" in text
        assert "lora r2 sgd" in text
    assert (experiment / "report" / "report.html").stat().st_size > 10_000
    finished = sorted(path.parent for path in experiment.glob(f"*/{FINISHED_FILE}"))
    assert [path.name.rsplit("-", 1)[0] for path in finished] == ["full-adamw-lr0.001-s0", "lora-r2-sgd-lr0.01-s0"]
    for trial in finished:
        assert [row["step"] for row in rows(trial)] == [0, 3, 6]
        assert ours(rows(trial)) == ours(json.loads((trial / FINISHED_FILE).read_text())["rows"])
        assert (trial / RESPONSES_FILE).exists()
        assert list(trial.glob("events.out.tfevents.*"))
    [failed] = [path.parent for path in experiment.glob("*/error.txt")]
    ending = read_outcome(failed)
    assert ending is not None
    assert (ending.outcome, ending.reason.partition(" became ")[0]) == (
        Outcome.DIVERGED,
        "FloatingPointError: train loss",
    )
    assert {one.outcome for one in map(read_outcome, finished) if one} == {Outcome.FINISHED}
    assert yaml.safe_load((experiment / SPEC_FILE).read_text())["max_failures"] == 0
    record = json.loads((experiment / SWEEP_FILE).read_text())
    assert record["versions"]["torch"] == torch.__version__
    assert record["finished_at"]

    before = (experiment / "report" / "trials.csv").read_text()
    for path in (experiment / "report").glob("*.*"):
        path.unlink()
    rebuild = [sys.executable, "-m", "analysis.report", str(experiment)]
    assert subprocess.run(rebuild, cwd=ROOT, capture_output=True).returncode == 0
    assert (experiment / "report" / "trials.csv").read_text() == before


def test_resuming_a_killed_driver_keeps_finished_trials_and_gives_the_losses_of_an_unbroken_sweep(
    parts: Parts, environment: dict[str, str], tmp_path: Path
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
    refused = run(environment, "--resume", broken)
    assert refused.returncode == 2
    assert "changed since the sweep began: data" in refused.stderr
    (broken / SWEEP_FILE).write_text(json.dumps(record))

    resumed = run(environment, "--resume", broken)
    assert resumed.returncode == 0, resumed.stderr
    assert len(json.loads((broken / SWEEP_FILE).read_text())["continued"]) == 1
    assert (finished.read_bytes(), finished.stat().st_mtime_ns) == kept
    assert run(environment, spec, "--output", whole, "--set", f"resources={resources}").returncode == 0
    for trial in sorted(path.parent for path in whole.glob(f"*/{FINISHED_FILE}")):
        again = broken / trial.name
        last = {row["step"]: row for row in rows(again)}
        assert ours(list(last.values())) == ours(rows(trial))
        left, right = load_file(again / TRAINED_FILE), load_file(trial / TRAINED_FILE)
        assert all(torch.equal(left[name], right[name]) for name in right)


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
    output, _ = driver.communicate(timeout=180)
    assert driver.returncode == 0, output
    [trial] = [path.parent for path in experiment.glob(f"*/{FINISHED_FILE}")]

    config = enumerate_trials(load_spec(str(spec)))[0]
    unbroken = open_trial(
        config,
        replace(inputs, reward=inputs.reward.model_copy(update={"model": None}), checkpoint_seconds=1e9),
        plan=plan_trial(config, read_shape(inputs.base_model, "model.name"), Device("cpu"), None),
    )
    expected = [unbroken.advance()]
    while not expected[-1].get("finished"):
        expected.append(unbroken.advance())
    unbroken.close()
    assert timeless(json.loads((trial / FINISHED_FILE).read_text())["rows"]) == timeless(expected)


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
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 130
    assert "2 interrupted" in output
    assert f"continue with: python -m sweep.run --resume {experiment}" in output
    assert (experiment / "report" / "report.html").exists()
    assert list(experiment.glob("*/checkpoint.pt"))


def test_optuna_chooses_on_validation_and_a_resumed_search_tells_what_it_knows(
    parts: Parts, environment: dict[str, str], tmp_path: Path
) -> None:
    space = [
        {"method": "full", "optimizer": "adamw", "lr": {"low": 1e-4, "high": 1e-2, "log": True}},
        {"method": "lora", "rank": [1, 2], "optimizer": "sgd", "lr": {"low": 1e-3, "high": 1e-1, "log": True}},
    ]
    experiment = tmp_path / "experiment"
    spec = parts.write_spec(tmp_path, space=space, search="optuna", trials=3, seeds=2)
    first = run(environment, spec, "--output", experiment)
    assert first.returncode == 0, first.stderr
    before = {path: path.read_bytes() for path in experiment.glob(f"*/{FINISHED_FILE}")}
    configs = [json.loads(content)["config"] for content in before.values()]
    assert all((c["rank"] is None) == (c["method"] == "full") for c in configs)
    tried = [c for c in configs if c["evaluate_on"] == Stage.TUNING]
    tested = [c for c in configs if c["evaluate_on"] == Stage.FINAL]
    assert len(tried) == 3, "on validation windows, with one seed that is none of the final ones"
    assert {c["seed"] for c in tried} == {2}
    methods = {c["method"] for c in tried}
    assert sorted((c["method"], c["seed"]) for c in tested) == sorted((m, s) for m in methods for s in (0, 1))
    assert {c["lr"] for c in tested} <= {c["lr"] for c in tried}
    assert f"{3 + len(tested)} finished" in first.stdout

    content = yaml.safe_load((experiment / SPEC_FILE).read_text())
    (experiment / SPEC_FILE).write_text(yaml.safe_dump({**content, "trials": 4}))
    more = run(environment, "--resume", experiment)
    assert more.returncode == 0, more.stderr
    after = {path: path.read_bytes() for path in experiment.glob(f"*/{FINISHED_FILE}")}
    assert before.items() <= after.items(), "what was tested is tested no other way"
    assert len([c for c in after.values() if json.loads(c)["config"]["evaluate_on"] == Stage.TUNING]) == 4


def test_a_config_that_a_search_proposes_twice_is_trained_once_and_is_no_replicate(
    parts: Parts, environment: dict[str, str], tmp_path: Path
) -> None:
    space = [{"method": "full", "optimizer": "adamw", "lr": 1e-3}]  # nothing to choose: every proposal is the same
    experiment = tmp_path / "experiment"
    spec = parts.write_spec(tmp_path, space=space, search="optuna", trials=3, metric="reward_mean", choose_on="test")
    ran = run(environment, spec, "--output", experiment)
    assert ran.returncode == 0, ran.stderr
    assert len(list(experiment.glob(f"*/{FINISHED_FILE}"))) == 1
    with (experiment / "report" / "trials.csv").open(encoding="utf-8", newline="") as file:
        assert [row["outcome"] for row in csv.DictReader(file)] == ["finished", "repeated", "repeated"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda spec, folder: spec["trial"].update(steps="many"), "trial.steps: 'many' is not accepted"),
        (lambda spec, folder: spec["trial"].update(block_size=65), "block_size: 65 is more than the 64 positions"),
        (lambda spec, folder: spec["reward"].update(new_tokens=60), "exceeds the model's 64 positions"),
        (lambda spec, folder: spec["data"].update(field="picked"), "picked"),
        (lambda spec, folder: (folder / "empty.jsonl").touch(), "empty.jsonl"),
        (lambda spec, folder: spec["model"].update(name=spec["reward"]["model"]), "deberta-v2 model; accepted: GPT-2"),
        (lambda spec, folder: spec["reward"].update(model=str(folder)), "reward.model: "),
    ],
)
def test_what_does_not_fit_is_said_in_one_line_before_any_trial(
    parts: Parts, here: Here, tmp_path: Path, break_it: Callable[..., None], message: str
) -> None:
    spec = parts.spec()
    break_it(spec, tmp_path)
    if (tmp_path / "empty.jsonl").exists():
        spec["data"]["test"] = [str(tmp_path / "empty.jsonl")]
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    code, _, errors = here(path, "--output", tmp_path / "experiment")
    assert code == 2
    [line] = errors.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "experiment").exists()


def test_a_directory_in_use_or_not_an_experiment_is_refused(parts: Parts, here: Here, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    spec = parts.write_spec(tmp_path)
    for arguments, message in [
        ((spec, "--output", tmp_path / "mine"), "is not an empty directory"),
        (("--resume", tmp_path / "mine"), "no spec.yaml in it"),
        (("--resume", tmp_path / "mine", "--set", "trial.steps=3"), "not accepted with --resume"),
    ]:
        code, _, errors = here(*arguments)
        assert code == 2
        assert message in errors


def test_the_data_can_be_written_out_and_read_back(parts: Parts, here: Here, tmp_path: Path) -> None:
    assert here(parts.write_spec(tmp_path), "--write-data", tmp_path / "data")[0] == 0
    written = [tmp_path / "data" / f"sft_{split}.json" for split in ("train", "test")]
    originals = [json.loads(line)["chosen"] for line in parts.train.read_text().splitlines()]
    assert [record["chosen"] for record in json.loads(written[0].read_text())] == originals
    again = parts.write_spec(tmp_path, data={"train": [str(written[0])], "test": [str(written[1])], "exclude": []})
    assert here(again, "--write-data", tmp_path / "again")[0] == 0
    assert (tmp_path / "again" / "sft_train.json").read_bytes() == written[0].read_bytes()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("trial.block_size=2048", "block_size: 2048 is more than the 1024 positions of 'gpt2'"),
        ("memory.budget=1GiB", "memory.budget: full adamw is predicted to take 2.39 GiB at its least"),
    ],
)
def test_a_dry_run_refuses_in_one_line_what_a_sweep_would_refuse(here: Here, setting: str, message: str) -> None:
    code, _, errors = here("study", "--dry-run", "--set", "model.name=gpt2", "--set", setting)
    assert code == 2
    assert message in errors
    assert len(errors.splitlines()) == 1


def test_a_dry_run_says_in_one_line_what_runs_however_narrow_its_tables_are(here: Here) -> None:
    tuned = ["search=tuned", "trials=2", "seeds={min: 2, max: 4}"]
    tuned += ["space=[{method: full, optimizer: sgd, lr: {low: 1e-3, high: 1e-1}}]"]
    code, output, _ = here("demo", "--dry-run", *(word for setting in tuned for word in ("--set", setting)))
    assert code == 0
    first = output.splitlines()[0]
    assert first.endswith(
        "2 tuning trials; then each arm's best with 2 seeds, 2 trials; then further seeds, 4 in all at most, "
        "for arms tied with the leader"
    )


def test_dry_run_prints_every_trial_and_runs_nothing(here: Here, tmp_path: Path) -> None:
    code, output, _ = here("study", "--dry-run", "--output", tmp_path / "experiment")
    assert code == 0
    for label in (
        "full adamw",
        "lora r1 adamw",
        "lora r10 adamw",
        "lora r100 adamw",
        "lora r1 sgd",
        "lora r1 nesterov",
    ):
        assert label in output
    assert f"resources per trial: {min(4, allowed_cpus())} CPU, a share of a GPU by its memory" in output
    assert "Predicted peak memory on a GPU, in GiB" in output
    assert not (tmp_path / "experiment").exists()
