"""The commands under the names that messages use, and Python finding somebody else's packages."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from basis import packages
from basis.errors import UserError
from basis.packages import ROOT, check_packages
from basis.scripts import SCRIPT, SUBCOMMANDS, as_called
from tests.conftest import PATIENCE_SECONDS


def test_pip_installs_one_command_by_the_name_that_messages_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {SCRIPT: "sweep.main:script"}


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_each_subcommand_is_a_function_script_of_its_module(name: str) -> None:
    home = ROOT.joinpath(*SUBCOMMANDS[name].home.split(".")).with_suffix(".py")
    functions = {node.name for node in ast.parse(home.read_text(encoding="utf-8")).body if hasattr(node, "name")}
    assert "script" in functions


def test_a_command_is_told_as_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    assert as_called("sweep.run", "--resume", "my dir") == "python -m sweep.run --resume 'my dir'"
    monkeypatch.setattr(sys, "argv", ["/opt/bin/sft-sweep", "demo"])
    assert as_called("sweep.run", "--resume", "my dir") == "sft-sweep run --resume 'my dir'"
    assert as_called("analysis.report", "x") == "sft-sweep report x"
    assert as_called("sweep.reward_metric", "x") == "sft-sweep judge x"


def test_no_message_spells_a_command_by_itself() -> None:
    for path in (*(ROOT / "sweep").rglob("*.py"), *(ROOT / "analysis").rglob("*.py")):
        assert not re.search(r'"python", "-m"', path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("kind", ["package", "module"])
def test_somebody_elses_packages_in_the_working_directory_are_left_alone(tmp_path: Path, kind: str) -> None:
    for name in ("basis", "model", "analysis", "yaml"):
        place = tmp_path / name / "__init__.py" if kind == "package" else tmp_path / f"{name}.py"
        place.parent.mkdir(exist_ok=True)
        place.write_text("raise SystemExit('the wrong one')\n")
    ran = python(tmp_path, "-m", "sweep.run", "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("usage: python -m sweep.run")


def test_a_folder_without_code_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()  # weights, say: a package of ours goes before it
    ran = python(tmp_path, "-m", "sweep.run", "--list")
    assert ran.returncode == 0, ran.stderr


def test_a_report_is_built_wherever_one_is(tmp_path: Path) -> None:
    for name in ("sweep", "model", "basis"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    ran = python(tmp_path, "-m", "analysis.report", "nowhere")
    assert ran.returncode == 2
    assert (
        ran.stderr == f"error: {tmp_path.resolve()}/nowhere is not a directory; give the directory of an experiment\n"
    )


@pytest.mark.parametrize("name", ["model", "analysis"])
def test_a_package_that_pythonpath_puts_before_ours_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    ran = python(tmp_path, "-m", "sweep.run", "--list", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert (ran.returncode, ran.stdout) == (2, "")
    what = f"{tmp_path.resolve()}/{name}.py: Python finds this {name!r} before sft-sweep's own"
    assert ran.stderr == f"error: {what}; take its folder out of PYTHONPATH\n"


def test_packages_that_are_hidden_are_named_with_what_hides_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "ROOT", tmp_path)
    with pytest.raises(UserError, match=r"__init__\.py: Python finds this 'basis' .*take its folder out of PYTHONPATH"):
        check_packages()


def test_children_take_no_modules_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "elsewhere" / "sft-sweep"
    script.write_text(
        "import multiprocessing, sys\n"
        "from sweep.command import run_command\n"
        "def work(console):\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool: return pool.apply(len, ['four'])\n"
        "if __name__ == '__main__': sys.exit(run_command(work, []))\n"
    )
    (tmp_path / "select.py").write_text("raise SystemExit('the wrong one')\n")
    ran = python(tmp_path, str(script))
    assert (ran.returncode, ran.stderr) == (4, "")


def python(folder: Path, *words: str, PYTHONPATH: str = str(ROOT)) -> "subprocess.CompletedProcess[str]":
    """Python in a folder, with this project installed but for pip: on the path behind the working directory."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": PYTHONPATH}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=folder, env=environment, timeout=PATIENCE_SECONDS
    )
