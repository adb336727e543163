"""The data files of a folder, and which of them are for what, as `datasets` tells it by their names."""

import os
import re
from pathlib import Path
from typing import Literal, get_args

from basis.errors import UserError
from sweep.schema.file_patterns import matching_files

Role = Literal["train", "test", "exclude", "general"]
ROLES: dict[str, Role] = {role: role for role in get_args(Role)}
"""The roles by their names, for one that comes from elsewhere."""

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
PACKINGS = (".gz", ".bz2", ".xz", ".zst")
SUFFIXES = tuple(format_ + packing for format_ in FORMATS for packing in ("", *PACKINGS))
LOCAL_FILES = f"local files ({', '.join(FORMATS)}, each also {', '.join(PACKINGS)}) or a folder of them"

_SPLIT_WORDS = {
    "train": ("train", "training"),
    "test": ("test", "testing", "eval", "evaluation"),
    "validation": ("validation", "valid", "val", "dev"),
}
"""Words in the names of files and folders by which `datasets` knows a split (its data_files.py, KEYWORDS)."""

_DESCRIPTIONS = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""Files that `datasets` writes beside data."""


def suffix_of(source: str) -> str:
    """The longest of SUFFIXES in which a source ends; "" for a source that names no file."""
    return max((suffix for suffix in SUFFIXES if source.lower().endswith(suffix)), key=len, default="")


def is_data_file(path: Path) -> bool:
    """Whether a file's name says that it holds data."""
    return bool(suffix_of(path.name)) and path.name not in _DESCRIPTIONS and os.path.isfile(path)


def folder_files(folder: Path, role: Role) -> list[Path]:
    """The files of a folder, and of all folders within it, that are for a role.

    Where names tell splits apart, as in train-00000.parquet, test.jsonl or validation/data.csv, train and test take the
    files of their split; for train, files without such a word will do. Exclude takes all files. General text is tested
    on, so its files are those of test.

    Raises:
        UserError: it has no data file, none for the role, or files of several formats.
    """
    files = [path for path in matching_files(folder / "**" / "*") if is_data_file(path)]
    if not files:
        raise UserError(f"{folder}: no data file is in this folder; accepted: {', '.join(FORMATS)}, also packed")
    splits = {path: _split_of(path.relative_to(folder)) for path in files}
    named = {split for split in splits.values() if split}
    chosen = files
    if role != "exclude" and named:
        split = "test" if role == "general" else role
        chosen = [path for path in files if splits[path] == split]
        if not chosen and role == "train":
            chosen = [path for path in files if splits[path] is None]
        if not chosen:
            raise UserError(f"{folder}: has files for {' and '.join(sorted(named))}, and none for {split}; name a file")
    formats = sorted({_format_of(path) for path in chosen})
    if len(formats) > 1:
        raise UserError(
            f"{folder}: holds files of several formats ({', '.join(formats)}); name those meant: "
            f"{folder}/**/*{formats[0]}"
        )
    return chosen


def _format_of(path: Path) -> str:
    suffix = suffix_of(path.name)
    return next(format_ for format_ in FORMATS if suffix.startswith(format_))


def _split_of(path: Path) -> str | None:
    """The split that the nearest of a path's names tells."""
    for part in reversed(path.parts):
        words = set(re.split(r"[^a-z]+", part.lower()))
        for split, known in _SPLIT_WORDS.items():
            if words & set(known):
                return split
    return None
