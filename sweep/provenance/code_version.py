"""Which code a sweep runs: the package's version, the commit of the repository that it lies in, and its files' hash."""

import hashlib
import subprocess
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from basis.packages import ROOT

PROJECT = "sft-sweep"
GIT_SECONDS = 30
RUN_BY_TRIALS = ("basis", "model", "sweep")
"""The packages that losses follow from. What else does is no code of ours, and has its version or hash in a record."""


@dataclass(frozen=True)
class CodeVersion:
    """The code of a sweep, as its driver finds it: on a cluster the code travels to the nodes without its repository.

    Attributes:
        version: the package's version.
        commit: 40 hexadecimal digits; None without git, or where the code lies in no repository.
        dirty: whether a file of the repository was changed, or one of ours added, since that commit; None without one.
        files: SHA-256 of the modules that trials run, see `hash_files`. It alone says whether code is the same: an
            installed package has no commit, and two changed checkouts may be changed differently. None: unknown.
    """

    version: str
    commit: str | None
    dirty: bool | None
    files: str | None = None


def code_version(folder: Path = ROOT) -> CodeVersion:
    """The version of the code in `folder`, which is the project's.

    Files that git ignores, and new ones outside the packages that trials run (a spec, say), make nothing dirty.
    """
    package, files = _package_version(folder), hash_files(folder)
    # An environment within somebody else's repository is no part of it: only files that git knows have its commit.
    if not _git(folder, "ls-files", "--", "sweep"):
        return CodeVersion(package, None, None, files)
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:  # a repository without a commit
        return CodeVersion(package, None, None, files)
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    added = _git(folder, "ls-files", "--others", "--exclude-standard", "--", *RUN_BY_TRIALS)
    return CodeVersion(package, commit, bool(changed or added), files)


def hash_files(folder: Path) -> str | None:
    """SHA-256 over paths and contents of the modules of RUN_BY_TRIALS in `folder`; None if one can't be read.

    Line ends count as one, since git may change them.
    """
    digest = hashlib.sha256()
    try:
        modules = [path for name in RUN_BY_TRIALS for path in (folder / name).rglob("*.py") if path.is_file()]
        paths = sorted(path.relative_to(folder).as_posix() for path in modules)
        for path in paths:
            content = (folder / path).read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{path}\0{len(content)}\0".encode() + content)
    except OSError:
        return None
    return digest.hexdigest() if paths else None


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
