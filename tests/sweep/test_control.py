"""The command that asks a running sweep: what is mistyped ends in one line, and answers are printed as they come."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from basis.control_record import read_decisions
from basis.directory import CONTROL_DIR, SPEC_FILE
from basis.packages import ROOT
from sweep import control
from sweep.spec_file.load import load_kept_plan
from sweep.steering.desk import Desk
from sweep.storage.claim import claimed
from tests.sweep.steering.test_desk import SPEC


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stp"], "argument ACTION: invalid choice: 'stp'"),
        ([], "the following arguments are required: ACTION"),
        (["clone", "x"], "the following arguments are required: FIELD=VALUE"),
        (["clone", "x", "lr"], "clone: 'lr' is not accepted; accepted: FIELD=VALUE, such as lr=3e-4"),
        (["clone", "x", "lr=1", "lr=2"], "clone: lr stands twice"),
        (["seeds", "two"], "seeds 'two' is not accepted; accepted: how many further ones, such as +2"),
        (["seeds", "9" * 5000], "accepted: how many further ones, such as +2"),
        (["seeds", "+2", ""], "'' names no trial and no arm; leave the word out to ask for the whole sweep"),
        (["stop", ""], "'' names no trial and no arm; leave the word out to ask for the whole sweep"),
        (["stop", "/"], "'/' names no trial and no arm; leave the word out to ask for the whole sweep"),
        (["add", "{lr"], "add: not valid YAML"),
        (["add", "lr"], "add 'lr' is not accepted; accepted: the fields of a trial, such as"),
        (["stop"], "no spec.yaml in it; name the directory of a running sweep"),
        (["status"], "no spec.yaml in it; name the directory of a sweep, or its address"),
    ],
)
def test_what_is_mistyped_ends_in_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert control.main([str(tmp_path), *words]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert message in captured.err


def test_the_answer_of_the_running_sweep_is_printed_and_told_again_by_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / SPEC_FILE).write_text(yaml.safe_dump(SPEC))
    plan = load_kept_plan(tmp_path)
    full = plan.candidates[0].name
    over = threading.Event()

    def sweep() -> None:
        desk = Desk(tmp_path, plan, lambda trial: trial.model_dump(mode="json"), lambda _: None)
        while not over.wait(0.05):
            desk.take(at_once=True)

    with claimed(tmp_path):
        runs = threading.Thread(target=sweep)
        runs.start()
        try:
            assert control.main([str(tmp_path), "clone", full, "lr=3e-4"]) == 0
        finally:
            over.set()
            runs.join()
    [decision] = read_decisions(tmp_path)
    answer = f"added {decision.trials[0]}"
    assert capsys.readouterr().out == f"{answer}\n"
    assert control.main([str(tmp_path), "status"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(": its sweep does not run; 0 trials have finished")
    assert second.endswith(f"  clone {full} lr=0.0003 (command): {answer}")


def test_a_sweep_that_is_busy_leaves_the_request_and_the_command_says_where_to_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / SPEC_FILE).write_text(yaml.safe_dump(SPEC))
    monkeypatch.setattr(control, "ANSWER_SECONDS", 0.1)
    with claimed(tmp_path):
        assert control.main([str(tmp_path), "stop"]) == 0
    told = capsys.readouterr().out
    assert told == f"asked, and not answered within 0.1 s; see: python -m sweep.control {tmp_path} status\n"
    assert len(list((tmp_path / CONTROL_DIR).iterdir())) == 1


def test_it_answers_without_torch_ray_or_pandas(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from sweep.control import main\n"
        f"main([{str(tmp_path)!r}, 'stop'])\n"
        "print(sorted({'torch', 'ray', 'transformers', 'pandas'} & sys.modules.keys()))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout == "[]\n"
