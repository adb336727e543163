"""What the copy of a stored experiment and its store last had in common: a file in the copy, INDEX_FILE."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from basis.files import whole_file
from basis.read_json import DamagedError, read_object
from basis.stored.stamp import Stamp

INDEX_FILE = ".stored.json"

CLOCK_SECONDS = 120.0
"""By how much this machine's clock and the store's may differ."""

SECOND_NS = 10**9


@dataclass
class Common:
    """What this machine and the store last had in common of a file.

    Attributes:
        size: in bytes.
        mtime_ns: of the file here, when it was sent or brought; 0: it is not kept here.
        stored: the object's stamp; None: it was sent from here, and not listed since.
        sent_at: when it was sent from here, in seconds since 1970.
    """

    size: int
    mtime_ns: int
    stored: Stamp | None
    sent_at: float = 0.0

    def is_here(self, found: os.stat_result) -> bool:
        """Whether a file is still as it was then."""
        return (self.size, self.mtime_ns) == (found.st_size, found.st_mtime_ns)

    def is_of(self, stamp: Stamp) -> bool:
        """Whether an object may be the one that was sent from here, and not a later one of the same size."""
        latest_ns = int((self.sent_at + CLOCK_SECONDS) * SECOND_NS)
        return self.stored is None and self.size == stamp.size and stamp.mtime_ns <= latest_ns


def keep_index(folder: Path, index: Mapping[str, Common]) -> None:
    """Write the index of a copy.

    Raises:
        OSError: this disk can't be written.
    """
    values = {name: asdict(common) for name, common in list(index.items())}
    with whole_file(folder / INDEX_FILE) as partial:
        partial.write_text(json.dumps(values), encoding="utf-8")


def read_index(folder: Path) -> dict[str, Common]:
    """By path; nothing where the file is missing or damaged: everything is then brought, or sent, again."""
    try:
        return {
            name: Common(**{**values, "stored": Stamp(*values["stored"]) if values["stored"] else None})
            for name, values in read_object(folder / INDEX_FILE).items()
        }
    except (DamagedError, OSError, TypeError, KeyError):
        return {}


def only_stored(folder: Path) -> dict[str, int]:
    """The sizes, in bytes, of the files that the store has and its copy has not; none where a folder is no copy."""
    return {name: common.size for name, common in read_index(folder).items() if not common.mtime_ns}
