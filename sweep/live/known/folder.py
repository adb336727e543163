"""The experiments of a folder, and the files of them that may be read: none that lies elsewhere, also by a link."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from analysis.results.state import STATE_FILES
from basis.directory import EVENTS_FILE, PARAMS_FILE, REPORT_DIR, RESULT_FILE, SPEC_FILE, SWEEP_FILE
from basis.stored.address import Address

MOST_READ_BYTES = 2**20
"""Of a file that a page shows; of one that is longer, its end."""


PREPARED_SECONDS = 600.0
"""For which a started sweep is listed although its directory is not there yet: data and models may have to come first.
"""


class Folder:
    """What a server was started with: an experiment directory, or a folder of them.

    Attributes:
        root: its path, absolute and without links.
    """

    def __init__(self, root: Path, one: bool = False) -> None:
        """`root` need not be there yet; `one` says beforehand that it will be an experiment."""
        self.root = root.resolve()
        self._one = one

    @property
    def is_experiment(self) -> bool:
        """Whether it is one experiment, and not a folder of several."""
        return self._one or is_experiment(self.root)

    @property
    def may_start(self) -> bool:
        """Whether new sweeps may be started: in a folder of experiments, where their outputs go."""
        return not self.is_experiment

    def place_of(self, directory: Path) -> Address | None:
        """The address at which an experiment is stored; None: it is kept in its directory alone."""
        return None

    async def refresh(self) -> None:
        """Called as pages ask for something. Directories are as new as can be."""

    def experiments(self) -> dict[str, Path]:
        """The experiment directories by name, the youngest first; empty while there is none."""
        if self.is_experiment:
            return {self.root.name: self.root}
        aged = []
        for path in entries(self.root):
            if path.resolve().is_relative_to(self.root) and is_experiment(path):
                aged.append((_age(path), path))
        aged += [(time.time(), path) for path in self._prepared() if not is_experiment(path)]
        return {path.name: path for _, path in sorted(aged, reverse=True)}

    def _prepared(self) -> Iterator[Path]:
        """The directories of sweeps that a page has started a moment ago, and that are not there yet."""
        for log in self.root.glob("*.log"):
            with suppress(OSError):
                if log.with_suffix(".yaml").is_file() and time.time() - log.stat().st_mtime < PREPARED_SECONDS:
                    yield log.with_suffix("")


def is_experiment(directory: Path) -> bool:
    """Whether a directory has the files of a sweep that has begun."""
    try:
        if any((directory / name).is_file() for name in (EVENTS_FILE, SPEC_FILE, SWEEP_FILE)):
            return True
        return next(directory.glob(STATE_FILES), None) is not None
    except OSError:
        return False


def entries(directory: Path) -> Iterator[Path]:
    """The folders in a directory; none of one that can't be read, as when it has just vanished."""
    try:
        with os.scandir(directory) as found:
            yield from sorted(Path(entry.path) for entry in found if entry.is_dir())
    except OSError:
        return


def trial_folders(experiment_dir: Path) -> list[Path]:
    """The directories of an experiment's trials; a link that leads elsewhere is none."""
    home = experiment_dir.resolve()
    return [path for path in entries(experiment_dir) if path.resolve().parent == home and _is_trial(path)]


def trial_folder(experiment_dir: Path, trial: str) -> Path | None:
    """The directory of a trial by its name; None where there is none of that name."""
    path = experiment_dir / trial
    try:
        if trial != path.name or path.resolve() != experiment_dir.resolve() / trial:
            return None
        return path if _is_trial(path) else None
    except (OSError, ValueError):  # longer than a name can be, or with a NUL
        return None


def _is_trial(path: Path) -> bool:
    return (path / PARAMS_FILE).exists() or (path / RESULT_FILE).exists()


def text_within(folder: Path, name: str, end: bool = True) -> str:
    """The text of a file of a folder; empty if there is none, or it is a link that leads elsewhere.

    Args:
        folder: the folder.
        name: the file's.
        end: of a file longer than MOST_READ_BYTES give its end, and not its beginning.
    """
    try:
        path = (folder / name).resolve(strict=True)
        if path.parent != folder.resolve() or not path.is_file():
            return ""
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - MOST_READ_BYTES) if end else 0)
            return file.read(MOST_READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def link_out_of(directory: Path) -> str | None:
    """A file or folder of an experiment that is a link leading out of it, by its path within; None where none is."""
    home = directory.resolve()
    for folder in (directory, *entries(directory)):
        if folder.name == REPORT_DIR:
            continue
        with os.scandir(folder) as found:
            for entry in found:
                if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(home):
                    return str(Path(entry.path).relative_to(directory))
    return None


Stamp = frozenset[tuple[str, int, int]]
"""When a directory and its trials changed last; two that are equal hold the same."""


def stamp_of(directory: Path) -> Stamp:
    """The times at which the files of an experiment and the folders of its trials changed last."""
    stamps = []
    with os.scandir(directory) as found:
        for entry in found:
            if entry.name == REPORT_DIR or entry.name.startswith("."):
                continue
            state = entry.stat(follow_symlinks=False)
            stamps.append((entry.name, state.st_mtime_ns, 0 if entry.is_dir() else state.st_size))
    return frozenset(stamps)


def _age(path: Path) -> float:
    for name in (SPEC_FILE, SWEEP_FILE, EVENTS_FILE):
        try:
            return (path / name).stat().st_mtime
        except OSError:
            continue
    return 0.0
