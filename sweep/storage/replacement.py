"""Files of an experiment that are replaced together: all of them or none, whenever the process dies."""

import os
import shutil
from pathlib import Path

from basis.directory import REPLACEMENT_DIR
from basis.errors import UserError
from basis.scripts import as_called

PARTIAL_DIR = f"{REPLACEMENT_DIR}.partial"


class Replacement:
    """New versions of files, kept aside until all are there; a context manager that forgets them unless committed.

    `commit` renames the directory that holds them. From that moment they count; then each takes its place. `settle`
    finishes or forgets what a dying process leaves.
    """

    def __init__(self, experiment_dir: Path) -> None:
        """Begin with none. `settle` must have dealt with what an earlier process left."""
        self._experiment_dir = experiment_dir
        self._folder = experiment_dir / PARTIAL_DIR
        self._folder.mkdir()

    def __enter__(self) -> "Replacement":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def path(self, name: str) -> Path:
        """Where to write the new version of a file, by its path within the experiment."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def commit(self) -> None:
        """Put all new versions in place."""
        for path in self._folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        self._folder.rename(self._experiment_dir / REPLACEMENT_DIR)
        settle(self._experiment_dir)


def check_settled(what: str, experiment_dir: Path) -> None:
    """Refuse an experiment whose files are on their way into place.

    Args:
        what: what the message begins with, such as "--resume DIR".
        experiment_dir: the experiment.

    Raises:
        UserError: naming the command that settles it.
    """
    if (experiment_dir / REPLACEMENT_DIR).exists():
        judge = as_called("sweep.reward_metric", str(experiment_dir))
        raise UserError(f"{what}: its trials were being judged anew when the process ended; finish that with: {judge}")


def settle(experiment_dir: Path) -> None:
    """Put in place what was committed, and forget what was not."""
    shutil.rmtree(experiment_dir / PARTIAL_DIR, ignore_errors=True)
    folder = experiment_dir / REPLACEMENT_DIR
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            place = experiment_dir / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
    shutil.rmtree(folder)
