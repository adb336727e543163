"""Files that are there whole or not at all."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from basis.disks import disk_error, disk_failure


def write_atomically(path: Path, write: Callable[[Path], object], size_bytes: int | None = None) -> None:
    """Let `write` fill a file beside `path`, bring it safely to disk, and give it its name.

    Whatever goes wrong, nothing is left beside `path`: half a file on a full disk would starve all others.
    Only one process may write the same file at a time; every caller holds a lock on the directory.

    Args:
        path: the file.
        write: given the file to fill.
        size_bytes: what the file will take, if that is known, for messages.

    Raises:
        DiskError: the disk is full, read-only or failing.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.touch()
        permissions = stat.S_IMODE(partial.stat().st_mode)  # that the user's umask gives
        write(partial)
        partial.chmod(permissions)  # safetensors gives its own, which keep all others out
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        if (number := disk_failure(error)) is not None:
            raise disk_error(path, number, size_bytes) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, atomically; see `write_atomically`."""
    content = text.encode("utf-8")
    write_atomically(path, lambda partial: partial.write_bytes(content), len(content))
