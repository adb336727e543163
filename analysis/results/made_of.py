"""Whether an experiment has changed since its report was built."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from analysis.results.files import read_mapping
from basis.directory import (
    BASE_DIR,
    CONTROL_DIR,
    CONTROL_FILE,
    INPUTS_DIR,
    REPORT_DIR,
    SPEC_FILE,
    SWEEP_FILE,
    TENSORBOARD,
    TRACKING_DIR,
    TRAINED_FILE,
)
from basis.packages import ROOT
from basis.scripts import as_called, typed

TIMES = ("finished_at", "continued")
"""What sweep.json says of each time that a sweep went on, whether or not it ran anything."""
OF_NO_TRIAL = (BASE_DIR, CONTROL_DIR, INPUTS_DIR, REPORT_DIR, TRACKING_DIR)
"""Folders of an experiment that are no trial's."""
UNREAD = (TRAINED_FILE, "trial.lock")
"""Files of a trial that no report reads. So are TensorBoard's, which are written when others are done."""


def made_of(experiment_dir: Path) -> str:
    """A hash of all that the report of an experiment depends on: code, paths in its commands, and files of results.

    Files of trials count by size and time of change: to read them is most of a report's work. What a sweep writes anew
    each time that it goes on counts by content, and Ray's own list of trials does not: what becomes of a trial is in
    the trial's files.
    """
    spec, sweep = (read_mapping(experiment_dir / name) for name in (SPEC_FILE, SWEEP_FILE))
    of_sweep = [(name, value) for name, value in sweep.items() if name not in TIMES]
    written_anew = repr([as_called("analysis.report"), typed(experiment_dir), str(experiment_dir), spec, of_sweep])
    with os.scandir(experiment_dir) as entries:
        trials = [Path(entry.path) for entry in entries if entry.is_dir() and entry.name not in OF_NO_TRIAL]
    code_and_base = (ROOT / "analysis", ROOT / "basis", experiment_dir / BASE_DIR)
    inner = [Path(place) for folder in code_and_base for place, _, _ in os.walk(folder)]
    digest = hashlib.sha256(written_anew.encode("utf-8", "surrogatepass"))
    for line in _marks(experiment_dir, CONTROL_FILE.__eq__):
        digest.update(line)
    for folder in (*sorted(inner), *sorted(trials)):
        if folder.name != "__pycache__":
            for line in _marks(folder, _is_read):
                digest.update(line)
    return digest.hexdigest()


def _is_read(name: str) -> bool:
    return name not in UNREAD and not name.startswith(TENSORBOARD)


def _marks(folder: Path, is_read: Callable[[str], bool]) -> Iterator[bytes]:
    """Name, size and time of change of each file of a folder that a report may read.

    What can't be looked at counts as that, and who reads it says so.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.path, entry.stat()) for entry in entries if is_read(entry.name) and entry.is_file())
    except OSError as error:
        found = []
        yield f"{folder}\t{error.errno}\n".encode("utf-8", "surrogateescape")
    for path, stat in found:
        yield f"{path}\t{stat.st_size}\t{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape")
