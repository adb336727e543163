"""Which code a sweep runs, in repositories made for the test."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from basis.packages import ROOT
from sweep.provenance.code_version import CodeVersion, code_version, hash_files

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one commit."""
    folder = tmp_path / "project"
    (folder / "sweep").mkdir(parents=True)
    (folder / "sweep" / "run.py").write_text("print(1)\n")
    (folder / "pyproject.toml").write_text('[project]\nversion = "7.1"\n')
    git(folder, "init", "--quiet")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def test_the_commit_is_the_repositorys_and_a_changed_file_makes_it_dirty(project: Path) -> None:
    commit, files = git(project, "rev-parse", "HEAD"), hash_files(project)
    assert code_version(project) == CodeVersion("7.1", commit, False, files)
    (project / "mine.yaml").touch()  # a spec of the user's own
    assert code_version(project) == CodeVersion("7.1", commit, False, files)
    (project / "sweep" / "run.py").write_text("print(2)\n")
    changed = hash_files(project)
    assert changed != files
    assert code_version(project) == CodeVersion("7.1", commit, True, changed)
    git(project, "commit", "--quiet", "-am", "second")
    assert code_version(project) == CodeVersion("7.1", git(project, "rev-parse", "HEAD"), False, changed)
    (project / "sweep" / "new.py").touch()
    assert code_version(project).dirty


def test_without_a_repository_of_its_own_code_has_no_commit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = project / "environment"  # within a repository that does not know it
    shutil.copytree(project / "sweep", installed / "sweep")
    assert code_version(installed).commit is None
    monkeypatch.setenv("PATH", "")
    assert code_version(project) == CodeVersion("7.1", None, None, hash_files(project))


def test_code_is_the_same_by_its_files_wherever_they_lie(project: Path, tmp_path: Path) -> None:
    """Also within an installed package, which has no commit: what is told apart is what trials run."""
    files = hash_files(project)
    assert files is not None
    installed = tmp_path / "site-packages"
    shutil.copytree(project / "sweep", installed / "sweep")
    (installed / "sweep" / "__pycache__").mkdir()
    (installed / "sweep" / "__pycache__" / "run.pyc").write_bytes(b"compiled")
    (installed / "sweep" / "run.py").write_bytes(b"print(1)\r\n")  # as git on Windows has it
    assert hash_files(installed) == files
    for path, text in (("sweep/run.py", "print(2)\n"), ("model/sft.py", ""), ("sweep/demo/new.py", "")):
        (installed / path).parent.mkdir(exist_ok=True)
        (installed / path).write_text(text)
        assert hash_files(installed) != files
        files = hash_files(installed)
    assert hash_files(tmp_path / "nowhere") is None


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert code_version().version == project["version"]
