"""The files that a pattern such as parts/**/*.jsonl matches, with a limit on what is looked through."""

import fnmatch
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from basis.errors import UserError

MOST_ENTRIES = 100_000
"""Most entries of folders that are looked through for one pattern: about a second."""


class _Walk:
    """One search. It counts the entries that it looks at."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._looked_at = 0
        self._walked: set[tuple[int, int]] = set()

    def matches(self, folders: Iterable[str], parts: Sequence[str]) -> Iterator[str]:
        """The paths in `folders` that match the `parts` of a pattern."""
        for folder in folders:
            if not parts:
                yield folder
                continue
            first, *rest = parts
            if first == "**":
                yield from self.matches(self._with_all_within(folder), rest)
            elif glob.has_magic(first):
                matching = (entry.path for entry in self._entries(folder) if _matches(entry.name, first))
                yield from self.matches(matching, rest)
            elif os.path.lexists(os.path.join(folder, first)):
                yield from self.matches([os.path.join(folder, first)], rest)

    def _with_all_within(self, folder: str) -> Iterator[str]:
        """A folder and all folders within it but hidden ones; each once, even where links form a circle."""
        try:
            status = os.stat(folder)
        except OSError:
            return
        if (status.st_dev, status.st_ino) in self._walked:
            return
        self._walked.add((status.st_dev, status.st_ino))
        yield folder
        for entry in self._entries(folder):
            if not entry.name.startswith(".") and _is_folder(entry):
                yield from self._with_all_within(entry.path)

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._looked_at += 1
                    if self._looked_at > MOST_ENTRIES:
                        raise UserError(
                            f"{self._pattern}: more than {MOST_ENTRIES:,} files would have to be looked through; "
                            "name a folder that holds fewer"
                        )
                    yield entry
        except OSError:
            return  # not a folder, or one without permission to look into it


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _matches(name: str, pattern: str) -> bool:
    """As in a shell: a hidden file matches only a pattern that begins with a dot."""
    return fnmatch.fnmatchcase(name, pattern) and (pattern.startswith(".") or not name.startswith("."))


def matching_files(path: Path) -> list[Path]:
    """The file at a path, or the files that the path matches as a pattern; none if there are none.

    Raises:
        UserError: more than MOST_ENTRIES files would have to be looked through.
    """
    if os.path.exists(path):  # unlike Path.exists, no exception for a folder that may not be looked into
        return [path]
    if not glob.has_magic(str(path)):
        return []
    parts = path.parts[1:] if path.is_absolute() else path.parts
    return [Path(match) for match in sorted(set(_Walk(str(path)).matches([path.anchor or "."], parts)))]
