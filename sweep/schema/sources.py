"""What a data source is: files on this machine, or a data set on the Hugging Face hub.

A source is a string. One that ends in one of SUFFIXES is a local file or a pattern of files. Any other is a dataset on
the Hugging Face hub: "owner/name", "owner/name:split" or "owner/name@revision:split". Without a split, train sources
read the split "train", test sources "test", and exclude sources every split.
"""

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from basis.errors import UserError
from sweep.schema.file_patterns import matching_files
from sweep.schema.hub_names import HubName, dataset_name
from sweep.schema.places import expand, looked_from

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
PACKINGS = (".gz", ".bz2", ".xz", ".zst")
SUFFIXES = tuple(format_ + packing for format_ in FORMATS for packing in ("", *PACKINGS))
_OTHER_SUFFIX = re.compile(
    r"\.(md|xlsx?|feather|pkl|pickle|npy|npz|pt|ya?ml|xml|html?|ndjson|zip|tar|gz|bz2|xz|zst)$", re.IGNORECASE
)

Role = Literal["train", "test", "exclude"]
DEFAULT_SPLIT: dict[Role, str | None] = {"train": "train", "test": "test", "exclude": None}
"""The split of a dataset on the hub that is named without one; None means all splits."""
LOCAL_FILES = f"local files ({', '.join(FORMATS)}, each also {', '.join(PACKINGS)}) or a folder of them"


def suffix_of(source: str) -> str:
    """The longest of SUFFIXES in which a source ends; "" for a source that names no file."""
    return max((suffix for suffix in SUFFIXES if source.lower().endswith(suffix)), key=len, default="")


def source_files(source: str, beside: Sequence[Path] = ()) -> list[Path] | None:
    """The files that a source names; None if it names a dataset on the hub.

    Args:
        source: as the spec has it, or absolute.
        beside: folders in which it was not found, for messages.

    Raises:
        UserError: no such file, or neither a file nor a hub dataset.
    """
    path = expand(source)
    if suffix_of(source):
        matches = matching_files(path)
        if not matches:
            missing = "matches no file" if glob.has_magic(source) else "no such file"
            raise UserError(f"{source}: {missing}{looked_from(source, beside)}")
        for match in matches:
            if not (os.path.isfile(match) or os.path.isdir(match)):  # opening a pipe would wait for its other end
                raise UserError(f"{match}: is no file that can be read again; accepted: {LOCAL_FILES}")
        return matches
    here = next((folder / path for folder in (*beside, Path()) if os.path.exists(folder / path)), None)
    if here is None and dataset_name(source) and not _OTHER_SUFFIX.search(source):
        return None
    hint = ""
    if here is not None and os.path.isdir(here):
        hint = f"; for the files in the folder {source} write {source.rstrip('/')}/*.jsonl, or whatever their suffix is"
    raise UserError(f"{source!r} is no data source; give {LOCAL_FILES} or a hub dataset 'owner/name:split'{hint}")


def hub_dataset(source: str, role: Role) -> HubName:
    """The dataset on the hub that a source names, with the split to read (None: every split)."""
    name = dataset_name(source)
    assert name is not None, "source_files has checked the source"
    return name if name.split else name._replace(split=DEFAULT_SPLIT[role])
