"""Whether a file is still as it was written. Imports nothing of ours, so that `analysis` can depend on it."""

import errno
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Any

Seal = dict[str, Any]
"""What is noted of a file: {"bytes": its size, "sha256": 64 hexadecimal digits}."""

SEALS_FILE = "seals.json"
"""In a folder that is written once: the seals of its other files by their paths."""

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What the system says of a path at which there is no file."""

DAMAGED = ".damaged"
"""How the name of a file ends that was set aside."""


def seal(path: Path) -> Seal:
    """What to note of a file as it is."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes: 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flaw(path: Path, noted: Mapping[str, Any], by_size: bool = False) -> str | None:
    """In which way a file is not as it was written; None if it is.

    Args:
        path: the file.
        noted: its `seal` at that time.
        by_size: the size will do, which is had without reading the file.

    Raises:
        OSError: the file is there and can't be read.
    """
    try:
        found = path.stat()  # asked once: of 10,000 trials there are five files each
    except ValueError:  # a NUL in its name
        return "is missing"
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return "is missing"
    if not S_ISREG(found.st_mode):
        return "is no file"
    size = found.st_size
    if size != noted.get("bytes"):
        return "is empty" if size == 0 else f"has {size:,} bytes instead of {noted.get('bytes')}"
    if not by_size and sha256(path) != noted.get("sha256"):
        return "has other content than was written"
    return None


def set_aside(path: Path, ending: str = DAMAGED) -> str:
    """Rename a file that is of no use any more, so that it can still be looked at; what is not there stays away.

    Returns:
        How to go on in a sentence about it: ", set aside as NAME", or nothing.
    """
    if not path.exists() and not path.is_symlink():
        return ""
    names = [f"{path.name}{ending}", *(f"{path.name}{ending}-{number}" for number in range(2, 1000))]
    aside = next(place for name in names if not (place := path.with_name(name)).exists())
    path.rename(aside)
    return f", set aside as {aside.name}"


def seal_folder(folder: Path) -> None:
    """Note every file of a folder in a file of its own there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SEALS_FILE)
    (folder / SEALS_FILE).write_text(json.dumps({str(path.relative_to(folder)): seal(path) for path in paths}))


def folder_flaw(folder: Path) -> str | None:
    """In which way a folder is not as `seal_folder` found it; None if it is.

    Raises:
        OSError: a file is there and can't be read.
    """
    try:
        noted = json.loads((folder / SEALS_FILE).read_bytes())
        if not noted:
            return f"{SEALS_FILE} is not as it was written"
        wrong = ((name, flaw(folder / name, one)) for name, one in noted.items())
        return next((f"{name} {found}" for name, found in wrong if found), None)
    except FileNotFoundError:
        return f"{SEALS_FILE} is missing"
    except (ValueError, RecursionError, AttributeError, NotADirectoryError):
        return f"{SEALS_FILE} is not as it was written"
