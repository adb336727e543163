"""Checks the folders that a user names before any work starts: that they are paths, short enough, and writable."""

import os
import re
import unicodedata
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile

from basis.errors import UserError

LONGEST_PATH = 4095
"""Most bytes that Linux allows in a path."""
LONGEST_WITHIN = 300
"""Bytes of a path that a trial's name and the longest name of a file, which holds the host's, take within a folder."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""The beginning of an address such as s3://bucket/key."""


def local_path(what: str, text: str) -> Path:
    """The absolute path that a user's text names.

    Args:
        what: what the user set, such as "--output", for messages.
        text: what they set it to; `~` and `~name` are home directories.

    Raises:
        UserError: the text names no path of this machine.
    """
    if _ADDRESS.match(text):
        raise UserError(f"{what} {text}: is no folder of this machine; accepted: one that is, or that is mounted here")
    if not text or "\0" in text:
        raise UserError(f"{what} {text!r}: names no path; accepted: a folder of this machine")
    try:
        path = Path(text).expanduser().resolve()
        str(path).encode("utf-8")
    except RuntimeError:
        reason = "no such user has a home here" if text.startswith("~") else "its links go in a circle"
        raise UserError(f"{what} {text}: names no path ({reason})") from None
    except UnicodeEncodeError:  # Ray writes paths into messages that are UTF-8
        raise UserError(f"{what} {text!r}: names a path that is not spelled in UTF-8") from None
    except OSError as error:  # the working directory has been deleted
        raise UserError(f"{what} {text}: names no path ({error.strerror})") from None
    return path


def check_length(what: str, folder: Path) -> None:
    """Refuse a folder whose path is so long that files in it could not be written.

    Args:
        what: what names the folder, such as "--output", for messages.
        folder: the folder.

    Raises:
        UserError: the path is too long.
    """
    length, most = len(os.fsencode(folder)), LONGEST_PATH - LONGEST_WITHIN
    if length > most:
        raise UserError(
            f"{what} {folder}: is a path of {length} bytes; accepted: {most} at most, so that files in it have names"
        )


def check_writable(what: str, folder: Path) -> None:
    """Check that a folder can be written to: make it and a file in it, then remove what was made.

    Args:
        what: what names the folder, such as "--output", for messages.
        folder: the folder, which need not exist.

    Raises:
        UserError: the folder can't be written to; the message says why.
    """
    made: list[Path] = []
    try:
        missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
        for path in reversed(missing):
            path.mkdir()
            made.append(path)
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        raise UserError(f"{what} {folder}: can't be written to ({error.strerror})") from None
    finally:
        for path in reversed(made):
            with suppress(OSError):  # another process has put a file into it meanwhile
                path.rmdir()


def is_writable(folder: Path) -> bool:
    """Whether a folder can be written to, or made and then written to."""
    try:
        check_writable("", folder)
    except UserError:
        return False
    return True


def folder_name(name: str) -> str:
    """The name of a sweep's folder, NAME-TIME. Letters that a shell or a file system may not take are replaced."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    short = re.sub(r"[^A-Za-z0-9._]+", "-", letters)[:80].strip("-.") or "sweep"
    return f"{short}-{datetime.now().strftime('%Y%m%d-%H%M%S')}"
