"""The package as pip installs it, run from a folder whose packages have the names of ours."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from basis.packages import PACKAGES, ROOT
from basis.scripts import SCRIPT, SUBCOMMANDS, Module
from sweep.schema.places import PRESETS
from tests.conftest import PATIENCE_SECONDS

pytestmark = pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="builds a wheel by setuptools")

STRANGERS = ("basis", "model", "sweep", "analysis", "torch", "yaml")
QUESTIONS: dict[Module, list[str]] = {
    "sweep.run": ["--help"],
    "sweep.control": ["--help"],
    "sweep.export": ["--help"],
    "sweep.chat": ["--help"],
    "sweep.track": ["--help"],
    "sweep.watch": ["--help"],
    "analysis.report": ["kept"],
    "sweep.reward_metric": ["--help"],
    "sweep.submit": ["--help"],
    "sweep.jobs": ["--help"],
}
"""What each command is asked."""
OF_LIVE_PAGES = ("sweep/live/assets", "sweep/live/views/pages")
DATA_FILES = (
    *(f"sweep/presets/{path.name}" for path in PRESETS.iterdir()),
    *(
        str(path.relative_to(ROOT))
        for folder in ("analysis/page/sections", "analysis/page/style", "analysis/page/scripts", *OF_LIVE_PAGES)
        for path in (ROOT / folder).iterdir()
    ),
    "sweep/exporting/card.md.j2",
    *(f"analysis/published/{name}" for name in ("published.csv", "published_settings.yaml")),
    *(f"{package}/py.typed" for package in PACKAGES),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this project, built from a copy, for setuptools leaves files behind."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(built), str(source))
    [wheel] = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed into."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--target", str(folder), str(wheel))
    return folder


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A working directory whose packages end whoever imports them."""
    for name in STRANGERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    return tmp_path


def pip(command: str, *words: str) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", command, *options, *words], check=True, timeout=PATIENCE_SECONDS)


def ran(installed: Path, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, *words]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=PATIENCE_SECONDS
    )


def test_the_wheel_has_all_data_files_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert set(DATA_FILES) - set(names) == set()
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)


def test_every_module_of_ours_is_in_the_wheel(wheel: Path) -> None:
    modules = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert modules - set(zipfile.ZipFile(wheel).namelist()) == set()


@pytest.mark.parametrize("module", [subcommand.module for subcommand in SUBCOMMANDS.values()])
def test_every_command_runs_in_a_folder_full_of_strangers(installed: Path, strangers: Path, module: Module) -> None:
    (strangers / module.partition(".")[0] / "__init__.py").unlink()  # of two packages python -m takes the first
    kept = an_experiment_in(strangers)
    told = ran(installed, strangers, "-m", module, *QUESTIONS[module])
    assert (told.returncode, told.stderr) == (0, "")
    if module == "analysis.report":
        assert "<style>" in (kept / "report" / "report.html").read_text(encoding="utf-8")


def an_experiment_in(folder: Path) -> Path:
    """An experiment with one trial that has not reported, which is enough for a report."""
    kept = folder / "kept"
    (kept / "trial").mkdir(parents=True)
    trial = json.dumps({"trial_id": "1", "status": "TERMINATED", "relative_logdir": "trial"})
    state = {"trial_data": [[trial, "{}"]], "runner_data": {}}
    (kept / "experiment_state-2026-01-01_00-00-00.json").write_text(json.dumps(state), encoding="utf-8")
    return kept


def test_presets_are_listed_and_a_bad_spec_is_refused_there(installed: Path, strangers: Path) -> None:
    (strangers / "sweep" / "__init__.py").unlink()
    (strangers / "bad.yaml").write_text("extends: demo\ntrial: {stepss: 3}\n", encoding="utf-8")
    listed = ran(installed, strangers, "-m", "sweep.run", "--list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == sorted(p.stem for p in PRESETS.glob("*.yaml"))
    refused = ran(installed, strangers, "-m", "sweep.run", "bad.yaml", "--dry-run")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: trial.stepss: unknown key (did you mean 'steps'?)")


def test_the_installed_command_names_its_subcommands(installed: Path, strangers: Path) -> None:
    command = str(installed / "bin" / SCRIPT)
    told = ran(installed, strangers, command, "--help")
    assert [line.split()[0] for line in told.stdout.splitlines() if line.startswith("  ")] == list(SUBCOMMANDS)
    listed = ran(installed, strangers, command, "run", "--list")
    assert (listed.returncode, listed.stderr) == (0, "")
    mistaken = ran(installed, strangers, command, "demo", "--dry-run")
    assert (mistaken.returncode, mistaken.stdout) == (2, "")
    assert mistaken.stderr == (
        "error: 'demo' is no subcommand (did you mean: sft-sweep run demo --dry-run?); accepted: "
        f"{', '.join(SUBCOMMANDS)}\n"
    )
