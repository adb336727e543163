"""What the sources of an SFT set hold, as digests that need no parsing: a cache finds its entry by them."""

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from sweep.data.dialogues import DataSources
from sweep.data.files.records import unreadable
from sweep.schema.data_folders import Role, suffix_of
from sweep.schema.hub_names import HubName
from sweep.schema.sources import hub_dataset, source_files


class SourceDigest(NamedTuple):
    """What one file, or one split of a hub dataset, holds.

    Attributes:
        role: what it is for.
        name: the file's name without its folder, or "owner/name:split", "owner/name/config:split".
        format: the file's `suffix_of`; empty for hub data.
        digest: SHA-256 of the file's bytes, or the commit of the hub dataset.
    """

    role: Role
    name: str
    format: str
    digest: str


def fingerprint(sources: Sequence[SourceDigest]) -> str:
    """Identify the content of all sources by their digests.

    Local files count by their bytes and suffix_of, wherever they lie; hub data by name, split and commit.

    Returns:
        64 hexadecimal digits.
    """
    parts = [(source.role, source.format or source.name, source.digest) for source in sources]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def source_digests(data: DataSources) -> list[SourceDigest]:
    """The content of each source without parsing it, in the order in which they are read.

    Raises:
        UserError: a source that doesn't exist or can't be read.
    """
    digests: list[SourceDigest] = []
    for role, sources in data.by_role:
        for source in sources:
            files = source_files(source, role)
            if files is None:
                digests.append(_hub_digest(hub_dataset(source, role), role))
            for path in files or ():
                try:
                    with path.open("rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                except OSError as error:
                    raise unreadable(path, error) from error
                digests.append(SourceDigest(role, path.name, suffix_of(str(path)), digest))
    return digests


def _hub_digest(dataset: HubName, role: Role) -> SourceDigest:
    from sweep.hub.fetch import resolve

    commit = resolve(dataset, "dataset", f"data.{role}")
    config = f"/{dataset.config}" if dataset.config else ""
    return SourceDigest(role, f"{dataset.name}{config}:{dataset.split or 'all'}", "", commit)
