"""Disks that are full, read-only or failing: how that is recognised, and how it is said."""

import errno
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from basis.units import show_bytes

FULL = (errno.ENOSPC, errno.EDQUOT)
REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk can only be read",
    errno.EFBIG: "the file is larger than is allowed here (ulimit -f, or the file system)",
    errno.EIO: "the disk fails (input/output error)",
}
"""Errors for which a disk is to blame and no file, and what is said of them."""

LEAST_FREE_BYTES = 2**20
"""A disk with less is full: a trial's own files take more."""

_OF_RUST = re.compile(r"\(os error (\d+)\)")
"""How libraries in Rust, such as safetensors, end what they say of an error of the system."""


class DiskError(OSError):
    """A file could not be written, for which its disk is to blame. The message names both."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def disk_failure(error: BaseException | None) -> int | None:
    """The errno if an error, or one that led to it, is a disk's; libraries hide it behind errors of their own."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        number = error.errno if isinstance(error, OSError) else None
        if number is None and (found := _OF_RUST.search(str(error))):
            number = int(found[1])
        if number in REASONS:
            return number
        error = error.__cause__ or error.__context__
    return None


def disk_error(path: Path, number: int, size_bytes: int | None = None) -> DiskError:
    """What is raised where a file can't be written.

    Args:
        path: the file.
        number: the errno, one of `REASONS`.
        size_bytes: of the whole file, if that is known.
    """
    told = []
    if number in FULL:
        told.append(f"{show_bytes(free_bytes(path))} free on {mount_point(path)}")
    if size_bytes is not None and number in (*FULL, errno.EFBIG):
        told.append(f"{show_bytes(size_bytes)} needed")
    numbers = f" ({', '.join(told)})" if told else ""
    return DiskError(number, f"can't be written: {REASONS[number]}{numbers}", str(path))


def trouble(error: BaseException | None, folders: Sequence[Path]) -> str | None:
    """What is wrong with a disk, if that is what made something fail; None if it is not.

    Args:
        error: what happened, if anything did. A library trips over files that it could not write whole, too.
        folders: where files are written.
    """
    number = disk_failure(error)
    full = next((folder for folder in folders if is_full(folder)), None)
    if full is not None and number in (None, *FULL):
        return f"{full}: {REASONS[errno.ENOSPC]} ({show_bytes(free_bytes(full))} free on {mount_point(full)})"
    named = error.filename if isinstance(error, OSError) and isinstance(error.filename, str) else str(folders[0])
    return f"{named}: {REASONS[number]}" if number is not None else None


def is_full(folder: Path) -> bool:
    """Whether the disk that a folder lies on has no room for anything."""
    return free_bytes(folder) < LEAST_FREE_BYTES


def free_bytes(path: Path) -> int:
    """What this user may still write to the disk on which a path lies or will lie."""
    return shutil.disk_usage(_existing(path)).free


def mount_point(path: Path) -> Path:
    """Where the disk on which a path lies or will lie is mounted."""
    place = _existing(path).resolve()
    while not os.path.ismount(place):
        place = place.parent
    return place


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if place.exists())
