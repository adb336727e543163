"""Downloads models, tokenizers and data sets from the Hugging Face hub into the hub's own cache, one commit each.

The driver resolves each name to a commit once; from then on it is a local folder. The commit is its identity: it stands
in the experiment's spec and in each trial's record, and --resume and --reproduce ask for this commit alone.
"""

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import HfApi, constants, get_cached_repo_tree, hf_hub_download, snapshot_download
from huggingface_hub.errors import CachedRepoTreeNotFoundError, HfHubHTTPError, RevisionResolutionError
from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]  # documented, though not in its __all__

from basis.errors import UserError
from model.weight_files import ADAPTER_CONFIG_FILE, WEIGHT_NAMES, WeightsError, choose_weights
from sweep.hub.errors import Kind, explained
from sweep.schema.hub_names import HubName

Say = Callable[[str], None]
"""Prints a line for the user."""

CONFIG = ("config.json",)
"""A model's configuration."""

SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
"""Patterns of configuration, tokenizer and lists of shards, at the top of a model's repository."""

CARD = ("README.md", "dataset_infos.json", ".huggingface.yaml")
"""Files that say which of a data set's files make up which split."""

DATA_SUFFIXES = (".jsonl", ".json", ".parquet", ".csv", ".tsv", ".txt", ".arrow")
DATA_FILES = tuple(f"*{suffix}{packed}" for suffix in DATA_SUFFIXES for packed in ("", ".gz", ".bz2", ".xz", ".zst"))
"""Patterns of the files that `datasets` reads."""


@dataclass(frozen=True)
class Snapshot:
    """One commit of a repository, as a folder in the hub's cache on this machine.

    Attributes:
        name: "owner/name".
        commit: 40 hexadecimal digits.
        folder: the folder; it may lack files that were not asked for.
    """

    name: str
    commit: str
    folder: Path

    @property
    def pinned(self) -> str:
        """NAME@COMMIT, as a spec may write it."""
        return f"{self.name}@{self.commit}"


class _Bar(tqdm):  # type: ignore[misc]  # the library has no types for it
    """The progress bar of a download: shown on a terminal only, and removed at its end."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "leave": False})


class _NoBar(tqdm):  # type: ignore[misc]
    """No progress bar, for files so small that one would only flash by."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "disable": True})


class _RememberingApi(HfApi):  # type: ignore[misc]
    """The hub's client, which falls back on its cache silently. This one remembers that it did.

    Attributes:
        failure: the error for which the hub could not be asked; None if the hub answered.
    """

    failure: Exception | None = None

    def repo_info(self, *arguments: Any, **settings: Any) -> Any:
        try:
            return super().repo_info(*arguments, **settings)
        except Exception as error:
            self.failure = error
            raise


def resolve(name: HubName, kind: Kind, key: str, say: Say | None = None) -> str:
    """Ask the hub which commit a name stands for now. If the hub can't be reached, the cache answers.

    Args:
        name: the repository, perhaps with a revision.
        kind: "model" (for tokenizers and reward models too) or "dataset".
        key: the key of the spec that an error names.
        say: told if the cache had to answer.

    Returns:
        The commit: 40 hexadecimal digits.

    Raises:
        UserError: there is no such repository or revision, the user may not read it, or neither hub nor cache answers.
    """
    hub = _RememberingApi()
    ask = partial(hub.resolve_revision, name.name, repo_type=kind, revision=name.revision)
    with explained(name, kind, key):
        try:
            commit = str(ask().resolved)
        except HfHubHTTPError as error:
            if error.response.status_code != 429:  # only after "too many requests" the client asks no cache by itself
                raise
            try:
                commit = str(ask(local_files_only=True).resolved)
            except RevisionResolutionError:
                raise error from None
    if hub.failure is not None and say is not None and not constants.is_offline_mode():
        say(f"{name}: the hub can't be asked; taken from the cache as it is there, at commit {commit[:7]}")
    return commit


def fetch_config(name: HubName, key: str) -> Snapshot:
    """Download a model's configuration alone.

    Args:
        name: the model.
        key: the key of the spec that an error names.

    Raises:
        UserError: as `resolve`; or the repository has no config.json.
    """
    return _fetch(name, "model", key, first=CONFIG)


def fetch_tokenizer(name: HubName, key: str) -> Snapshot:
    """Download a tokenizer's files, without weights.

    Args:
        name: the repository.
        key: the key of the spec that an error names.

    Raises:
        UserError: as `resolve`; or the download fails, or the repository has no such files.
    """
    return _fetch(name, "model", key, first=SMALL_FILES)


def fetch_model(name: HubName, key: str, say: Say | None = None) -> Snapshot:
    """Download a model's configuration and weights, and its tokenizer if it has one.

    Args:
        name: the model or reward model.
        key: the key of the spec that an error names.
        say: told of a download of more than 10 MB.

    Raises:
        UserError: as `resolve`; or the download fails, or the repository has no weights that PyTorch reads.
    """

    def weights(folder: Path, files: Collection[str]) -> list[str]:
        try:
            chosen = choose_weights(folder, files)
        except WeightsError as error:
            raise UserError(f"{key}: {name.shown!r}: {error}") from None
        return chosen or [path for path in files if path == ADAPTER_CONFIG_FILE]  # loading it says what is wrong

    chosen = _LargeFiles(weights, f"weights; accepted: {', '.join(WEIGHT_NAMES)}")
    return _fetch(name, "model", key, SMALL_FILES, chosen, say)


def fetch_dataset(name: HubName, key: str, say: Say | None = None) -> Snapshot:
    """Download a data set's files.

    Args:
        name: the data set.
        key: the key of the spec that an error names.
        say: told of a download of more than 10 MB, and of a cache that may lack files.

    Raises:
        UserError: as `resolve`; or the download fails, or the repository has no file that `datasets` reads.
    """

    def data(folder: Path, files: Collection[str]) -> list[str]:
        return [path for path in files if any(Path(path).match(pattern) for pattern in DATA_FILES)]

    chosen = _LargeFiles(data, f"data files; accepted: {', '.join(DATA_SUFFIXES)}, also packed")
    return _fetch(name, "dataset", key, CARD, chosen, say)


class _LargeFiles(NamedTuple):
    """The large files that are wanted beside the small ones.

    Attributes:
        choose: takes the folder of the small files and the paths of all files, and returns the paths wanted.
        what: what the wanted files are called, for messages.
    """

    choose: Callable[[Path, Collection[str]], list[str]]
    what: str


def _fetch(
    name: HubName, kind: Kind, key: str, first: Sequence[str], large: _LargeFiles | None = None, say: Say | None = None
) -> Snapshot:
    """Download the files that match the patterns `first`, then the files that `large` chooses of all there are."""
    commit = resolve(name, kind, key)

    with explained(name, kind, key):
        folder = Path(
            snapshot_download(
                name.name,
                repo_type=kind,
                revision=commit,
                allow_patterns=list(first),
                # "*" matches slashes too, but a model's folders (ONNX, checkpoints) are not wanted
                ignore_patterns="*/*" if kind == "model" else None,
                tqdm_class=_NoBar,
            )
        )
    if large is not None:
        listed = _listed(name.name, kind, commit)
        sizes = _sizes(folder) if listed is None else listed
        wanted = large.choose(folder, sizes)
        if not wanted and listed is not None:
            raise UserError(f"{key}: {name.shown!r} has no {large.what}")
        if listed is None and kind == "dataset" and say is not None:
            say(f"{name.shown}: others have filled the cache; whether all its files are there, only the hub could tell")
        missing_bytes = sum(sizes[path] for path in wanted if path in sizes and not (folder / path).exists())
        if missing_bytes:
            _check_space(name, key, missing_bytes)
        if say is not None and missing_bytes > 10**7:
            say(f"downloading {name.shown} from the hub: {missing_bytes / 1e6:,.0f} MB")
        if not wanted:  # without the hub's list, for another program has filled the cache
            raise UserError(f"{key}: {name.shown!r} is not whole in the cache {constants.HF_HUB_CACHE}")
        for path in wanted:  # one by one: several threads would go on for minutes after Ctrl-C
            with explained(name, kind, key):
                hf_hub_download(name.name, path, repo_type=kind, revision=commit, tqdm_class=_Bar)
    elif not folder.is_dir() or (first == CONFIG and not (folder / CONFIG[0]).exists()):
        lacking = CONFIG[0] if first == CONFIG else "tokenizer files"
        raise UserError(f"{key}: {name.shown!r} has no {lacking}, so it is none in Hugging Face's format")
    return Snapshot(name.name, commit, folder)


def _listed(name: str, kind: Kind, commit: str) -> dict[str, int] | None:
    """The sizes in bytes of a commit's files by path, from the hub's list in the cache; None if it has no list."""
    try:
        return {file.path: file.size for file in get_cached_repo_tree(name, repo_type=kind, revision=commit)}
    except CachedRepoTreeNotFoundError:
        return None


def _sizes(folder: Path) -> dict[str, int]:
    """The sizes in bytes of a folder's files by path."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_size for path in found}


def _check_space(name: HubName, key: str, needed_bytes: int) -> None:
    """Refuse a download for which the disk of the hub's cache has no room."""
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(cache).free
    if needed_bytes > free_bytes:
        raise UserError(
            f"{key}: {name.shown!r} takes {needed_bytes / 1e6:,.0f} MB, but {cache} has {free_bytes / 1e6:,.0f} MB "
            "left; make room, or set HF_HOME to a folder on a larger disk"
        )
