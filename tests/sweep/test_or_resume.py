"""The same command with --or-resume, any number of times, is one sweep; another one is not mixed with it."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from basis.directory import CHECKPOINT_FILE, FINISHED_FILE, SWEEP_FILE
from basis.errors import UserError
from basis.packages import ROOT
from sweep.driver.same_sweep import check_same_sweep
from sweep.schema.sweep_spec import SweepSpec
from sweep.spec_file.load import parse_spec
from sweep.storage.claim import LOCK_FILE
from tests.conftest import Here, Parts, command, run, wait_for
from tests.sweep.test_interrupted_sweeps import LONG

COMMIT = "0123456789" * 4


@pytest.mark.slow
def test_the_same_command_begins_a_sweep_and_goes_on_with_it(
    parts: Parts, environment: dict[str, str], here: Here, tmp_path: Path
) -> None:
    spec, output = parts.write_spec(tmp_path, trial={**LONG, "steps": 200}, checkpoint_seconds=0), tmp_path / "out"
    words = (spec, "--output", output, "--or-resume", "--set", "seeds=1")
    output.mkdir()
    (output / LOCK_FILE).touch()  # what a start that was killed early leaves
    driver = subprocess.Popen(
        command(*words), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: bool(list(output.glob(f"*/{CHECKPOINT_FILE}"))))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    again = run(environment, *words)
    assert again.returncode == 0, again.stderr
    assert "2 finished, 0 failed" in again.stdout
    assert len(list(output.glob(f"*/{FINISHED_FILE}"))) == 2
    record = json.loads((output / SWEEP_FILE).read_text(encoding="utf-8"))
    assert len(record["continued"]) == 1
    third = run(environment, *words)
    assert third.returncode == 0, third.stderr
    assert third.stdout.count("nothing has changed since the report was built\n") == 1
    assert third.stdout.endswith(again.stdout[again.stdout.index("LOWEST LOSS") :])

    code, _, error = here(spec, "--output", output, "--or-resume", "--set", "trial.steps=20")
    assert code == 2
    assert error.strip().endswith(
        "holds another sweep: trial.steps is 200 there and 20 here; name another directory, or the spec that began it"
    )
    assert len(error.splitlines()) == 1


def test_a_directory_with_foreign_files_is_refused_as_without_the_flag(
    parts: Parts, here: Here, tmp_path: Path
) -> None:
    spec = parts.write_spec(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    code, _, error = here(spec, "--output", tmp_path / "mine", "--or-resume")
    assert code == 2
    assert "is not an empty directory" in error
    assert here(spec, "--or-resume")[2].startswith("error: --or-resume needs --output DIR")


def spec_with(**changes: Any) -> SweepSpec:
    return parse_spec({
        "name": "study", "model": "gpt2", "trial": {"precision": "auto"}, "data": {"train": "a/b:train"},
        "space": {"method": "full", "optimizer": "adamw", "lr": 1e-4}, **changes,
    })  # fmt: skip


def test_commits_in_place_of_names_and_a_precision_in_place_of_auto_make_no_other_sweep() -> None:
    kept = spec_with(
        model=f"gpt2@{COMMIT}", trial={"precision": "fp32"}, data={"train": f"a/b@{COMMIT}:train"}, about="told"
    )
    pinned_reward = kept.reward.model_copy(update={"model": f"OpenAssistant/reward-model-deberta-v3-large-v2@{COMMIT}"})
    kept = kept.model_copy(update={"reward": pinned_reward})
    check_same_sweep(spec_with(reward={"model": "OpenAssistant/reward-model-deberta-v3-large-v2"}), kept, Path("out"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "gpt2-medium"}, f"model.name is 'gpt2@{COMMIT}' there and 'gpt2-medium@main' here"),
        ({"model": f"gpt2@{'9' * 40}"}, f"model.name is 'gpt2@{COMMIT}' there and 'gpt2@{'9' * 40}' here"),
        ({"trial": {"precision": "bf16"}}, "trial.precision is 'fp32' there and 'bf16' here"),
        ({"trial": {"precision": "auto", "steps": 7}}, "trial.steps is nothing there and 7 here"),
        ({"seeds": 2}, r"seeds is \[0\] there and \[0, 1\] here"),
    ],
)
def test_the_first_key_that_differs_is_named_with_both_values(changes: dict[str, Any], message: str) -> None:
    kept = spec_with(model=f"gpt2@{COMMIT}", trial={"precision": "fp32"}, data={"train": f"a/b@{COMMIT}:train"})
    with pytest.raises(UserError, match=rf"^--output out: holds another sweep: {message}"):
        check_same_sweep(spec_with(**changes), kept, Path("out"))
