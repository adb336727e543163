"""checkpoint.pt: written whole or not at all, and read only if it is as it was written."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from basis.disks import DiskError
from basis.files import write_atomically
from basis.metrics import Row


@dataclass(frozen=True)
class TrialCheckpoint:
    """All that a new process needs to continue a trial to the bit. The file has a key for each attribute.

    Attributes:
        config: the name of the trial's config.
        training: the state of its training.
        rows: what it has reported, a row at least.
        unjudged: its last row, where it has trained to its end and is yet to be judged.
    """

    config: str
    training: dict[str, Any]
    rows: list[Row]
    unjudged: Row | None

    @property
    def step(self) -> int:
        """How many optimizer steps its last row tells of; the training may be further."""
        return int((self.unjudged or self.rows[-1])["step"])

    def write(self, path: Path) -> None:
        """Write it to a file; raises as `write_checkpoint`."""
        write_checkpoint(path, vars(self))

    @classmethod
    def read(cls, path: Path, config: str) -> "TrialCheckpoint":
        """Read it from a file.

        Args:
            path: the file.
            config: the name of the config that it must be of.

        Raises:
            ValueError: it is another config's, or its rows are not whole.
            LookupError: a key is missing.
            Exception: see `read_checkpoint`.
        """
        state = read_checkpoint(path)
        if state["config"] != config:
            raise ValueError(f"is of {state['config']}, not of {config}")
        rows, unjudged = state["rows"], state["unjudged"]
        if not rows or not all(isinstance(row, dict) and "step" in row for row in [*rows, unjudged or rows[0]]):
            raise ValueError("its rows are not whole")
        return cls(config, state["training"], rows, unjudged)


BETWEEN_ROWS_SECONDS = 60.0
"""How long after a checkpoint the next is due before the row of metrics is, at least; at a row it may be earlier."""
URGENT_SECONDS = 10.0
"""How long after a checkpoint the next is due on a machine that is about to be taken away."""


class CheckpointFile:
    """The file of a trial's checkpoints: a new one replaces the former. A trial can do without, and may yet end well.

    Args:
        path: the file.
        every_seconds: how long after a checkpoint the next is due at a row.

    Attributes:
        is_urgent: whether the machine is about to be taken away.
    """

    def __init__(self, path: Path, every_seconds: float) -> None:
        self.path = path
        self.is_urgent = False
        self._every_seconds = every_seconds
        self._written_at = time.monotonic()
        self._lacks_room = False

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next checkpoint, at a row."""
        return self._is_after(self._every_seconds)

    @property
    def is_due_between_rows(self) -> bool:
        """Whether it is time for the next checkpoint, though the next row is yet to come."""
        return self._is_after(max(self._every_seconds, BETWEEN_ROWS_SECONDS))

    def _is_after(self, seconds: float) -> bool:
        wait_seconds = min(seconds, URGENT_SECONDS) if self.is_urgent else seconds
        return time.monotonic() - self._written_at >= wait_seconds

    def replace(self, checkpoint: TrialCheckpoint) -> str | None:
        """Write a new checkpoint, if the disk has room for it.

        Returns:
            The first time that there is no room, a line about it; None otherwise.
        """
        remark = None
        try:
            checkpoint.write(self.path)
        except DiskError as error:
            if not self._lacks_room:
                former = "with the one before" if self.path.exists() else "without one"
                remark = f"{error}; the trial goes on {former}"
            self._lacks_room = True
        self._written_at = time.monotonic()
        return remark

    def remove(self) -> None:
        """Take the file away, if it is there."""
        self.path.unlink(missing_ok=True)


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state of tensors and plain values.

    Raises:
        DiskError: the disk is full, read-only or failing.
    """

    def write(partial: Path) -> None:
        with partial.open("wb") as file:  # given a path, torch says nothing of what the disk said
            torch.save(dict(state), file)

    write_atomically(path, write, stored_bytes(state))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a checkpoint.

    Raises:
        Exception: what zipfile and torch raise for a file that is none, or whose checksums (CRC-32) don't hold.
    """
    with ZipFile(path) as archive:
        if torn := archive.testzip():
            raise ValueError(f"{torn} in it is damaged")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)  # goes where the run has its own
    return state


def stored_bytes(state: object) -> int:
    """The bytes of all tensors in nested mappings and sequences."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    if isinstance(state, Mapping):
        return sum(map(stored_bytes, state.values()))
    return sum(map(stored_bytes, state)) if isinstance(state, list | tuple) else 0
