"""The real command, end to end: a sweep with a failing trial, bad specs and bad data, what a dry run prints."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from basis.directory import EVENTS_FILE, FINISHED_FILE, RESPONSES_FILE, SPEC_FILE, SWEEP_FILE
from basis.outcome_file import read_outcome
from basis.outcomes import Outcome
from sweep import search_space
from sweep.machine.hardware import allowed_cpus
from sweep.progress.event_file import read_events
from sweep.progress.progress import State, fold
from sweep.schema.sweep_spec import SweepSpec
from tests.conftest import Here, Parts, Swept
from tests.sweep.worker.test_trial_run import timeless
from tests.warm import run_warm


def rows(trial: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (trial / "result.json").read_text(encoding="utf-8").splitlines()]


def ours(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as the trial made them, without what Ray adds and without times."""
    known = {"step", "train_loss", "test_loss", "learning_rate", "peak_bytes", "win_rate", "reward_mean", "finished"}
    return timeless([{k: v for k, v in row.items() if k in known} for row in values])


def test_a_sweep_with_a_failing_trial_keeps_the_others_and_names_the_reason(
    swept: Swept, environment: dict[str, str], tmp_path: Path
) -> None:
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

    copy = Path(shutil.copytree(experiment, tmp_path / "experiment"))
    for path in (copy / "report").glob("*.*"):
        path.unlink()
    assert run_warm(["analysis.report", copy], environment).returncode == 0
    rebuilt, built = (folder / "report" / "trials.csv" for folder in (copy, experiment))
    assert rebuilt.read_text() == built.read_text()


def test_a_sweep_leaves_its_events(swept: Swept) -> None:
    events, _, damaged = read_events(swept.experiment / EVENTS_FILE, 0)
    assert damaged == 0
    progress = fold(events)
    assert set(progress.trials) == {path.parent.name for path in swept.experiment.glob("*/params.json")}
    assert (progress.counts()[State.FINISHED], progress.counts()[State.FAILED]) == (2, 1)
    for name, trial in progress.trials.items():
        last = rows(swept.experiment / name)[-1]
        assert (trial.step, trial.metrics["test_loss"]) == (last["step"], last["test_loss"])
        assert trial.place
    [failed] = progress.in_state(State.FAILED)
    assert "loss became" in failed.reason
    [memory] = progress.devices
    assert memory.capacity_bytes
    assert progress.leader
    assert progress.leader.loss == min(trial.metrics["test_loss"] for trial in progress.in_state(State.FINISHED))
    assert progress.over
    assert (progress.over.finished, progress.over.failed) == (2, 1)
    assert str(Path.home()) not in (swept.experiment / EVENTS_FILE).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda spec, folder: spec["trial"].update(steps="many"), "trial.steps: 'many' is not accepted"),
        (lambda spec, folder: spec["trial"].update(block_size=65), "block_size: 65 is more than the 64 positions"),
        (lambda spec, folder: spec["reward"].update(new_tokens=60), "exceeds the model's 64 positions"),
        (lambda spec, folder: spec["data"].update(field="picked"), "picked"),
        (lambda spec, folder: (folder / "empty.jsonl").touch(), "empty.jsonl"),
        (
            lambda spec, folder: spec["model"].update(name=spec["reward"]["model"]),
            "which is no language model of transformers",
        ),
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("trial.block_size=2048", "block_size: 2048 is more than the 1024 positions of 'gpt2'"),
        ("memory.budget=1GiB", "memory.budget: full adamw is predicted to take 2.39 GiB at its least"),
    ],
    ids=["block_size", "budget"],
)
def test_a_dry_run_refuses_in_one_line_what_a_sweep_would_refuse(here: Here, setting: str, message: str) -> None:
    code, _, errors = here(
        "study", "--dry-run", "--set", "model.name=gpt2", "--set", "trial.precision=fp32", "--set", setting
    )
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


@pytest.mark.parametrize(("preset", "step"), [("demo", "enumerate_trials"), ("fair", "tuning_trials")])
def test_a_command_enumerates_the_trials_of_its_sweep_once(
    preset: str, step: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    enumerated: list[str] = []
    enumerate_all = getattr(search_space, step)

    def counted(spec: SweepSpec) -> Any:
        enumerated.append(spec.name)
        return enumerate_all(spec)

    monkeypatch.setattr(search_space, step, counted)
    code, _, errors = here(preset, "--dry-run", *(["--set", "variant=demo"] if preset == "fair" else []))
    assert (code, errors) == (0, "")
    assert enumerated == [preset]
