"""checkpoint.pt: written whole or not at all, and read only if it is as it was written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from basis.files import write_atomically


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state of tensors and plain values.

    Raises:
        DiskError: the disk is full, read-only or failing.
    """

    def write(partial: Path) -> None:
        with partial.open("wb") as file:  # given a path, torch says nothing of what the disk said
            torch.save(dict(state), file)

    write_atomically(path, write, tensor_bytes(state))


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


def tensor_bytes(state: object) -> int:
    """The bytes of all tensors in nested mappings and sequences."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    if isinstance(state, Mapping):
        return sum(map(tensor_bytes, state.values()))
    return sum(map(tensor_bytes, state)) if isinstance(state, list | tuple) else 0
