"""What a data source is: files on this machine, or a data set on the Hugging Face hub.

A source is a string. A folder, a file that ends in one of SUFFIXES, or a pattern of files is local. Any other is a data
set on the Hugging Face hub, see `sweep.schema.hub_names`. Without a split, train sources read the split "train", test
and general sources "test", and exclude sources every split.
"""

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from basis.errors import UserError
from sweep.schema.data_folders import LOCAL_FILES, Role, folder_files, is_data_file, suffix_of
from sweep.schema.file_patterns import matching_files
from sweep.schema.hub_names import HubName, dataset_name
from sweep.schema.places import expand, looked_from

_OTHER_SUFFIX = re.compile(
    r"\.(md|xlsx?|feather|pkl|pickle|npy|npz|pt|ya?ml|xml|html?|ndjson|zip|tar|gz|bz2|xz|zst)$", re.IGNORECASE
)

DEFAULT_SPLIT: dict[Role, str | None] = {
    "train": "train",
    "test": "test",
    "exclude": None,
    "general": "test",
}
"""The split of a dataset on the hub that is named without one; None means all splits."""
ON_HUB = "a hub dataset 'owner/name:split' or 'owner/name/config:split'"


def is_pattern(source: str) -> bool:
    """Whether a source names several files at once."""
    return "*" in source or "?" in source or (glob.has_magic(source) and bool(suffix_of(source)))


def source_files(source: str, role: Role, beside: Sequence[Path] = ()) -> list[Path] | None:
    """The files that a source names; None if it names a dataset on the hub.

    Args:
        source: as the spec has it, or absolute.
        role: what it is for; of a folder that has several splits, its own are taken.
        beside: folders in which it was not found, for messages.

    Raises:
        UserError: no such file, or neither a file nor a hub dataset.
    """
    path = expand(source)
    if os.path.isdir(path):
        return folder_files(path, role)
    if suffix_of(source) or is_pattern(source):
        matches = matching_files(path)
        if not suffix_of(source):
            matches = [match for match in matches if is_data_file(match)]
        if not matches:
            missing = "matches no file" if is_pattern(source) else "no such file"
            raise UserError(f"{source}: {missing}{looked_from(source, beside)}")
        for match in matches:
            if not os.path.isfile(match):  # opening a pipe would wait for its other end
                raise UserError(f"{match}: is no file that can be read again; accepted: {LOCAL_FILES}")
        return matches
    here = any(os.path.exists(folder / path) for folder in (*beside, Path()))
    if not here and dataset_name(source) and not _OTHER_SUFFIX.search(source):
        return None
    raise UserError(f"{source!r} is no data source; give {LOCAL_FILES} or {ON_HUB}")


def hub_dataset(source: str, role: Role) -> HubName:
    """The dataset on the hub that a source names, with the split to read (None: every split)."""
    name = dataset_name(source)
    assert name is not None, "source_files has checked the source"
    return name if name.split else name._replace(split=DEFAULT_SPLIT[role])
