"""The Dockerfile and the Slurm script as linters read them; the image is built from all that it needs, and no more."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from basis.packages import PACKAGES, ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
IGNORED = DOCKERFILE.with_name("Dockerfile.dockerignore")
LINES = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text(encoding="utf-8")).splitlines()
STEPS = [line.split(maxsplit=1) for line in LINES if line and not line.startswith("#")]


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in STEPS if name == instruction]


@pytest.mark.parametrize(
    ("linter", "words"),
    [
        ("hadolint", [str(DOCKERFILE)]),
        ("shellcheck", ["--shell=bash", str(ROOT / "deploy" / "slurm.sbatch")]),
    ],
)
def test_a_linter_finds_nothing(linter: str, words: list[str]) -> None:
    found = shutil.which(linter, path=str(Path(sys.executable).parent)) or shutil.which(linter)
    if found is None:
        pytest.skip(f"needs {linter}, which the development environment brings")
    ran = subprocess.run([found, *words], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_the_image_is_built_from_what_the_package_is_built_from() -> None:
    """`tests/test_installed.py` builds and runs a wheel of the same files."""
    copied = [word for step in arguments("COPY") for word in step.split()[:-1]]
    assert sorted(copied) == sorted([*PACKAGES, "pyproject.toml", "constraints.txt", "README.md", "LICENSE"])
    assert all((ROOT / name).exists() for name in copied)
    kept = [line for line in IGNORED.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert kept == ["*", *(f"!{name}" for name in copied), "**/__pycache__"]


def test_versions_are_pinned_and_the_user_is_not_root() -> None:
    [install] = [step for step in arguments("RUN") if "pip install" in step]
    assert "-c constraints.txt" in install
    assert arguments("USER") == ["1000"]
    assert [name for name, _ in STEPS].index("USER") > max(at for at, step in enumerate(STEPS) if step[0] == "RUN")
    [base] = arguments("FROM")
    assert base == "python:3.11-slim"


def test_no_secret_is_built_in() -> None:
    assert arguments("ARG") == []
    assert re.search(r"(?i)token|secret|password|key", " ".join(arguments("ENV"))) is None
