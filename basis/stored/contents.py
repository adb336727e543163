"""Folders that all nodes of a cluster need, in object storage by their content: sent once, brought once.

Their objects lie in CONTENTS_DIR of an experiment, each under its SHA-256. A node keeps what it has brought, for the
next sweep too. Imports no pyarrow, since what is kept travels with a sweep's trials.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from basis.checksums import SEALS_FILE, Seal, flaw, seal

if TYPE_CHECKING:
    from basis.stored.store import Store

CONTENTS_DIR = ".contents"

UNUSED_SECONDS = 14 * 24 * 3600.0
"""After which a node lets go of what no sweep has asked for."""


@dataclass(frozen=True)
class Content:
    """A folder with the files of it that are needed.

    Attributes:
        name: its own name.
        files: the seals of the files, by their paths in it.
    """

    name: str
    files: dict[str, Seal]

    @classmethod
    def of(cls, folder: Path, files: Iterable[Path]) -> "Content":
        """Files of a folder. They are read, unless the folder has their seals (see `basis.checksums`).

        Raises:
            OSError: one can't be read.
        """
        path = folder / SEALS_FILE
        noted = json.loads(path.read_bytes()) if path.is_file() else {}
        by_name = {file.relative_to(folder).as_posix(): file for file in files}
        return cls(folder.name, {name: noted.get(name) or seal(file) for name, file in sorted(by_name.items())})

    @property
    def digest(self) -> str:
        """64 hexadecimal digits: equal for what has the same name and content."""
        return hashlib.sha256(json.dumps([self.name, sorted(self.files.items())]).encode()).hexdigest()

    def send(self, store: "Store", folder: Path) -> None:
        """Send it from where it lies; what the store has already is not sent again.

        Raises:
            StoreError: the store can't be written.
        """
        for name, sealed in self.files.items():
            found = store.stamp(_object(sealed))
            if found is None or found.size != sealed["bytes"]:
                store.put(_object(sealed), folder / name)

    def bring(self, store: "Store", into: Path) -> Path:
        """Bring it to this machine, unless another process has; returns the folder, which lies in `into`.

        Raises:
            StoreError: the store can't be read, or what it has is not what was sent.
            OSError: this disk can't be written.
        """
        place = into / self.digest / self.name
        place.parent.mkdir(parents=True, exist_ok=True)
        whole = place.parent / "whole"
        with FileLock(place.parent / "bringing.lock"):
            if not whole.exists():
                for name, sealed in self.files.items():
                    path = place / name
                    if flaw(path, sealed, by_size=True) is not None:
                        store.get_sealed(_object(sealed), path, sealed)
            whole.touch()  # also when it has long been here: it is in use
        return place


def discard_unused(folder: Path) -> None:
    """Remove what `Content.bring` has brought into a folder and nobody has asked for since UNUSED_SECONDS."""
    for whole in folder.glob("*/whole"):
        with suppress(Timeout, OSError), FileLock(whole.parent / "bringing.lock", timeout=0):
            if time.time() - whole.stat().st_mtime > UNUSED_SECONDS:
                whole.unlink()
                shutil.rmtree(whole.parent, ignore_errors=True)


def _object(sealed: Seal) -> str:
    return f"{CONTENTS_DIR}/{sealed['sha256']}"
