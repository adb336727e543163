"""The task for SkyPilot, as its own parser reads it where SkyPilot is installed, and its scripts as bash reads them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from basis.packages import ROOT

FILE = ROOT / "deploy" / "skypilot.yaml"


def read() -> dict[str, Any]:
    task: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return task


TASK = read()


@pytest.fixture
def sky(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """SkyPilot, which keeps files of its own in the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return pytest.importorskip(
        "sky", reason="SkyPilot wants other versions than ours; it has an environment of its own"
    )


def test_skypilot_reads_the_task_and_asks_for_what_is_missing(sky: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match="FILESYSTEM"):
        sky.Task.from_yaml_config(read())  # which takes the mapping apart
    given = {"env_overrides": [("FILESYSTEM", "fs")], "secrets_overrides": [("RAY_AUTH_TOKEN", "token")]}
    task = sky.Task.from_yaml_config(read(), **given)
    assert task.num_nodes == 2
    assert {str(resources.region) for resources in task.resources} == {"us-west-2"}
    assert all(resources.use_spot for resources in task.resources)
    with pytest.raises(Exception, match="'num_node'"):
        sky.Task.from_yaml_config({**read(), "num_node": 2}, **given)


@pytest.mark.parametrize("part", ["setup", "run"])
def test_bash_reads_its_scripts(part: str) -> None:
    read = subprocess.run(["bash", "-n"], input=TASK[part], capture_output=True, text=True)
    assert (read.returncode, read.stderr) == (0, "")


def test_it_holds_no_token_and_goes_on_when_it_is_started_anew() -> None:
    assert TASK["secrets"] == {"RAY_AUTH_TOKEN": None}
    assert ': "${RAY_AUTH_TOKEN:?' in TASK["run"]  # SkyPilot itself takes null for a secret that its server may have
    assert "--or-resume" in TASK["run"]
    assert 0 < TASK["resources"]["job_recovery"]["max_restarts_on_errors"] <= 10
    assert "ray stop" not in TASK["run"].replace("no `ray stop`", "")
