"""What a spec reads from this machine: which files go along with it, and which must lie on the cluster."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from basis.checksums import sha256
from basis.errors import UserError
from basis.units import show_bytes
from sweep.schema.data_folders import Role
from sweep.schema.places import MADE_HERE
from sweep.schema.sources import source_files
from sweep.schema.sweep_spec import SweepSpec
from sweep.submission.output import inputs_folder

MOST_SENT_BYTES = 90 * 2**20
"""Of files that go along with a spec. Ray's job server takes 100 MiB, of which our code takes a few."""
DIGITS = 16
"""Of a SHA-256, by which the folder of a file that was sent is named."""


@dataclass(frozen=True)
class Sent:
    """A file or a folder that goes along.

    Attributes:
        key: where the spec names it.
        path: where it lies here.
        size_bytes: of all its files.
    """

    key: str
    path: Path
    size_bytes: int

    @property
    def name(self) -> str:
        """Where it lies among all that is sent: the same as long as its name and content are."""
        digest = hashlib.sha256()
        for file in _files(self.path):
            digest.update(f"{file.relative_to(self.path.parent)}\0{sha256(file)}\n".encode())
        return f"{digest.hexdigest()[:DIGITS]}/{self.path.name}"


def named_files(spec: SweepSpec) -> dict[str, list[Path]]:
    """The local files and folders that a spec names, by its keys."""
    found: dict[str, list[Path]] = {}
    for role in get_args(Role):
        for source in getattr(spec.data, role):
            found.setdefault(f"data.{role}", []).extend(_data_files(source, role))
    for key, model in spec.models_by_key.items():
        for field, name in (("name", model.name), ("tokenizer", model.tokenizer)):
            found[f"{key}.{field}"] = [Path(name)] if name and name.startswith("/") else []
    for key, name in (("reward.model", spec.reward.model), ("reward.prompts", spec.reward.prompts)):
        found[key] = [Path(name)] if name and name.startswith("/") else []
    return found


def _data_files(source: str, role: Role) -> list[Path]:
    return [] if source in MADE_HERE else (source_files(source, role) or [])


def named_here(spec: SweepSpec) -> list[Sent]:
    """All that a spec names on this machine."""
    paths = {path: key for key, paths in named_files(spec).items() for path in paths}
    return [Sent(key, path, size_of(path)) for path, key in paths.items()]


def are_small(named: Sequence[Sent]) -> bool:
    """Whether all of it can go along."""
    return sum(one.size_bytes for one in named) <= MOST_SENT_BYTES


def to_send(named: Sequence[Sent], sizes_there: Mapping[str, int]) -> list[Sent]:
    """What goes along: all that a spec names here, or, where that is too much, what the cluster does not have.

    Args:
        named: all of it.
        sizes_there: of what the cluster has at the same paths, in bytes.

    Raises:
        UserError: it is too much to be sent.
    """
    small = are_small(named)
    sent = [one for one in named if small or sizes_there.get(str(one.path)) != one.size_bytes]
    if (total := sum(one.size_bytes for one in sent)) > MOST_SENT_BYTES:
        largest = max(sent, key=lambda one: one.size_bytes)
        raise UserError(
            f"{largest.key} {largest.path}: is too large to go along ({show_bytes(total)} in all; Ray takes 100 MiB "
            "with a job); put it on storage that the cluster reads, and name it by its path there"
        )
    return sent


def with_sent(spec: Mapping[str, Any], sources: SweepSpec, sent: Sequence[Sent], output: str) -> dict[str, Any]:
    """A resolved spec as the cluster is given it, with the place there of all that goes along.

    Args:
        spec: the plain values.
        sources: the same, validated; of a source that lies on the cluster alone it need not know.
        sent: what goes along.
        output: the experiment directory on the cluster, or its address.
    """
    places = {str(one.path): str(inputs_folder(output) / one.name) for one in sent}
    changed: dict[str, Any] = _placed(spec, places)
    data = dict(changed["data"])
    for role in get_args(Role):
        files_of = {source: list(map(str, _data_files(source, role))) for source in getattr(sources.data, role)}
        listed: list[str] = []
        for source in spec["data"][role]:
            files = files_of.get(source, [])
            is_sent = bool(files) and all(file in places for file in files)
            listed += [places[file] for file in files] if is_sent else [source]
        data[role] = listed
    return {**changed, "data": data}


def _placed(value: Any, places: Mapping[str, str]) -> Any:
    """A plain value with the place on the cluster for each path that is sent."""
    if isinstance(value, Mapping):
        return {key: _placed(inner, places) for key, inner in value.items()}
    if isinstance(value, list):
        return [_placed(inner, places) for inner in value]
    return places.get(value, value) if isinstance(value, str) else value


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(file.stat().st_size for file in _files(path))


def _files(path: Path) -> Iterator[Path]:
    """A file itself, or all files of a folder, in one order."""
    if path.is_file():
        yield path
    else:
        for folder, folders, names in os.walk(path):
            folders.sort()
            yield from (Path(folder, name) for name in sorted(names))
