"""--json: standard output has documents alone, which the schema takes, whatever the command and however it ends."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from analysis import report
from basis.directory import EVENTS_FILE
from basis.documents.documents import DOCUMENTS, json_schema
from basis.packages import ROOT
from sweep import control
from tests.conftest import PATIENCE_SECONDS, Here, Parts, Swept, command, run


def documents(out: str) -> list[Any]:
    """The documents of standard output, which must be nothing else."""
    schema = json_schema()
    for line in out.splitlines():
        jsonschema.validate(json.loads(line), schema)
    return [DOCUMENTS.validate_json(line) for line in out.splitlines()]


def test_a_plan_says_of_each_trial_what_a_dry_run_prints(here: Here, parts: Parts, tmp_path: Path) -> None:
    space = [{"method": ["full", "lora"], "optimizer": "adamw", "lr": "default"}]
    spec = parts.write_spec(tmp_path, space=space, lora={"rank": 2}, search="tuned", trials=2)
    code, out, errors = here(spec, "--dry-run", "--json")
    [plan] = documents(out)
    assert (code, plan.document, plan.name, plan.search) == (0, "plan", "tiny", "tuned")
    assert [trial.config["lr"] for trial in plan.trials] == pytest.approx([2e-6, 2e-4, 2e-5, 2e-3])
    assert all(trial.predicted_peak_bytes == sum(trial.predicted_bytes.values()) for trial in plan.trials)
    assert [(arm.arm, arm.trials) for arm in plan.arms] == [("full adamw", 2), ("lora r2 adamw", 2)]
    assert [rate.method for rate in plan.default_learning_rates] == ["full", "lora"]
    assert "2e-5" in plan.default_learning_rates[0].source
    assert plan.warnings == errors.splitlines()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["no-such-preset", "--dry-run"], "'no-such-preset' is neither a preset nor a YAML file"),
        (["--list"], "--json is not accepted with --list; accepted with --dry-run, or to run a sweep"),
        (["demo", "--show-data", "3"], "--json is not accepted with --show-data"),
        (["demo", "--dry-rum"], "unrecognized arguments: --dry-rum"),
        (["demo", "--set", "trial.steps=-1", "--set", "seeds=0"], "trial.steps: -1 is not accepted"),
    ],
)
def test_an_error_is_a_document_too_and_the_exit_code_stays(here: Here, words: list[str], error: str) -> None:
    code, out, errors = here(*words, "--json")
    [told] = documents(out)
    assert (code, told.document, told.exit_code) == (2, "error", 2)
    assert error in told.error
    assert error in errors


def test_a_verdict_has_what_the_first_screen_shows(
    swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = Path(shutil.copytree(swept.experiment, tmp_path / "experiment"))
    assert report.main([str(experiment), "--json"]) == 0
    captured = capsys.readouterr()
    [verdict] = documents(captured.out)
    assert f"TRUST {verdict.trust}" in captured.err
    [board] = verdict.boards
    finished = [place for place in board.places if place.rank is not None]
    assert [place.rank for place in finished] == [1, 2]
    assert finished[0].gap.estimate is None
    assert finished[1].gap.estimate == pytest.approx(finished[1].loss.estimate - finished[0].loss.estimate)
    assert [place.state for place in board.places if place.rank is None] == ["diverged"]
    assert Path(verdict.files.html).is_file()
    assert verdict.findings


def test_a_report_that_can_not_be_built_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([str(tmp_path / "nowhere")], [str(tmp_path), "--al-pairs"]):
        assert report.main([*words, "--json"]) == 2
        [told] = documents(capsys.readouterr().out)
        assert told.document == "error"


def test_status_is_that_of_the_events(swept: Swept, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert control.main([str(swept.experiment), "status", "--json"]) == 0
    [status] = documents(capsys.readouterr().out)
    assert (status.directory, status.running, status.over) == (str(swept.experiment), False, True)
    assert (status.counts.finished, status.counts.failed, status.total) == (2, 1, 3)
    assert {trial.state for trial in status.trials} == {"finished", "failed"}
    assert status.leader.metric == "test_loss"
    assert control.main([str(tmp_path), "status", "--json"]) == 2
    assert documents(capsys.readouterr().out)[0].document == "error"


def test_a_sweep_that_runs_tells_each_event_its_verdict_and_its_end(
    swept: Swept, environment: dict[str, str], tmp_path: Path
) -> None:
    experiment = Path(shutil.copytree(swept.experiment, tmp_path / "an experiment"))
    before = len((experiment / EVENTS_FILE).read_bytes().splitlines())
    ran = run(environment, "--resume", experiment, "--json")
    *progress, verdict, end = documents(ran.stdout)
    assert {one.document for one in progress} == {"progress"}
    assert len(progress) == len((experiment / EVENTS_FILE).read_bytes().splitlines()) - before
    assert (progress[0].event, progress[-1].event) == ("sweep", "over")
    assert (verdict.document, end.document) == ("verdict", "end")
    assert end.exit_code == ran.returncode
    assert end.counts == progress[-1].counts
    assert "2 finished" in ran.stderr


def test_a_reader_that_leaves_spoils_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    words = [*command("no-such-preset", "--json")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment) as asked:
        assert asked.stdout is not None
        asked.stdout.close()
        assert asked.wait(PATIENCE_SECONDS) == 2
        assert asked.stderr is not None
        assert asked.stderr.read().count(b"\n") == 1
