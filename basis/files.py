"""Files and folders that are there whole or not at all."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from basis.disks import disk_error, disk_failure


@contextmanager
def whole_file(path: Path, shared: bool = False, permissions: int | None = None) -> Iterator[Path]:
    """A file beside `path` to be filled within; after the block it is brought safely to disk and takes that name.

    Whatever goes wrong, nothing is left beside `path`: half a file on a full disk would starve all others.

    Args:
        path: the file.
        shared: other processes may write the same file at the same time; the last one wins. Without it one process
            alone writes it, which holds a lock on the directory.
        permissions: of the file; None: those that the user's umask gives.

    Raises:
        OSError: the file can't be written.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex}" if shared else f"{path.name}.partial")
    try:
        partial.touch()
        own = stat.S_IMODE(partial.stat().st_mode)
        yield partial
        partial.chmod(own if permissions is None else permissions)  # safetensors keeps all others out of its files
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, write: Callable[[Path], object], size_bytes: int | None = None) -> None:
    """Let `write` fill a file, see `whole_file`.

    Args:
        path: the file.
        write: given the file to fill.
        size_bytes: what the file will take, if that is known, for messages.

    Raises:
        DiskError: the disk is full, read-only or failing.
    """
    try:
        with whole_file(path) as partial:
            write(partial)
    except BaseException as error:
        if (number := disk_failure(error)) is not None:
            raise disk_error(path, number, size_bytes) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, atomically; see `write_atomically`."""
    content = text.encode("utf-8")
    write_atomically(path, lambda partial: partial.write_bytes(content), len(content))


def publish_folder(unfinished: Path, folder: Path) -> None:
    """Give a folder that is complete its name; where another process was faster, that one's equal stays.

    Raises:
        OSError: the folder can't be renamed, and no other is there.
    """
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.exists():
            raise
