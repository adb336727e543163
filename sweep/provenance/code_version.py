"""Identifies the code that a sweep runs: version of the package, commit of its repository, hash of its files."""

import hashlib
import subprocess
import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from basis.packages import ROOT

PROJECT = "sft-sweep"
GIT_SECONDS = 30
"""Seconds that git gets to answer."""
RUN_BY_TRIALS = ("basis", "model", "sweep")
"""The packages of ours that losses depend on. Libraries and inputs have their own versions and hashes in a record."""


@dataclass(frozen=True)
class CodeVersion:
    """The code of a sweep, as its driver finds it. (Nodes of a cluster get the code without its repository.)

    Attributes:
        version: the package's version.
        commit: 40 hexadecimal digits; None without git, or if the code lies in no repository.
        dirty: whether the repository has changed files, or new modules of RUN_BY_TRIALS, since the commit; None
            without a commit.
        files: SHA-256 of the modules that trials run, see `hash_files`; None if unknown. Only this hash says whether
            two sweeps ran the same code: an installed package has no commit, and two dirty checkouts may differ.
    """

    version: str
    commit: str | None
    dirty: bool | None
    files: str | None = None


def code_version(folder: Path = ROOT) -> CodeVersion:
    """Identify the code in a folder.

    Files that git ignores do not make code dirty, nor do new files outside RUN_BY_TRIALS, such as a spec.

    Args:
        folder: the project's root.
    """
    package, files = _package_version(folder), hash_files(folder)
    # A package installed below another project's repository is no part of it: git must know our files.
    if not _git(folder, "ls-files", "--", "sweep"):
        return CodeVersion(package, None, None, files)
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:  # a repository without a commit
        return CodeVersion(package, None, None, files)
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    added = _git(folder, "ls-files", "--others", "--exclude-standard", "--", *RUN_BY_TRIALS)
    return CodeVersion(package, commit, bool(changed or added), files)


def hash_files(folder: Path) -> str | None:
    """Hash paths and contents of the modules of RUN_BY_TRIALS, with Unix line ends, since git may change line ends.

    Args:
        folder: the project's root.

    Returns:
        SHA-256, 64 hexadecimal digits; None if there is no module or one can't be read.
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
    """The version in the folder's pyproject.toml, or without one that of the installed package.

    A checkout's own version counts, since another one may be installed beside it.
    """
    pyproject = folder / "pyproject.toml"
    if pyproject.is_file():
        return str(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return version(PROJECT)
    except PackageNotFoundError:
        return "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None if git is not installed, fails, or takes too long."""
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.strip() if ran.returncode == 0 else None
