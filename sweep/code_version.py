"""Which code a sweep runs: the package's version, and the commit of the repository that it lies in."""

import subprocess
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = "sft-sweep"
PROJECT_FOLDER = Path(__file__).parent.parent
GIT_SECONDS = 30


@dataclass(frozen=True)
class CodeVersion:
    """The code of a sweep, as its driver finds it: on a cluster the code travels to the nodes without its repository.

    Attributes:
        version: the package's version.
        commit: 40 hexadecimal digits; None without git, or where the code lies in no repository.
        dirty: whether a file of the repository was changed, or one of ours added, since that commit; None without one.
    """

    version: str
    commit: str | None
    dirty: bool | None


def code_version(folder: Path = PROJECT_FOLDER) -> CodeVersion:
    """The version of the code in `folder`, which is the project's.

    Files that git ignores, and new ones outside the packages that trials run (a spec, say), make nothing dirty.
    """
    package = _package_version(folder)
    # An environment within somebody else's repository is no part of it: only files that git knows have its commit.
    if not _git(folder, "ls-files", "--", "sweep"):
        return CodeVersion(package, None, None)
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:  # a repository without a commit
        return CodeVersion(package, None, None)
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    added = _git(folder, "ls-files", "--others", "--exclude-standard", "--", "model", "sweep")
    return CodeVersion(package, commit, bool(changed or added))


def _package_version(folder: Path) -> str:
    """Of a checkout as its pyproject.toml says, since what is installed beside it may be another one."""
    pyproject = folder / "pyproject.toml"
    if pyproject.is_file():
        return str(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return version(PROJECT)
    except PackageNotFoundError:
        return "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers; None if it is not there or refuses."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.strip() if ran.returncode == 0 else None
