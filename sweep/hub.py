"""Models, tokenizers and data sets on the Hugging Face hub, brought into its own cache as a folder of one commit.

Whatever is named on the hub is resolved to a commit once, by the driver, and from then on is a local folder. That
commit is its identity: it stands in the spec that an experiment keeps, in each trial's record, and --resume and
--reproduce ask for nothing else.
"""

import json
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import HfApi, constants, get_cached_repo_tree, hf_hub_download, snapshot_download
from huggingface_hub.errors import CachedRepoTreeNotFoundError
from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]  # documented, though not in its __all__

from sweep.errors import UserError
from sweep.hub_errors import Kind, explained
from sweep.hub_names import HubName

Say = Callable[[str], None]

CONFIG = ("config.json",)

SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
"""Configuration, tokenizer and lists of shards, at the top of a model's repository."""

WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""Weights as one file, or the list of their shards, in the order in which transformers looks for them."""

CARD = ("README.md", "dataset_infos.json", ".huggingface.yaml")
"""What says which files of a data set make up which split."""

DATA_FILES = tuple(
    f"*{suffix}{packed}"
    for suffix in (".jsonl", ".json", ".parquet", ".csv", ".tsv", ".txt", ".arrow")
    for packed in ("", ".gz", ".bz2", ".xz", ".zst", ".zip")
)


@dataclass(frozen=True)
class Snapshot:
    """One commit of a repository on the hub, as a folder in the hub's cache on this machine."""

    name: str
    commit: str
    folder: Path

    @property
    def pinned(self) -> str:
        """The name with its commit, as a spec may write it."""
        return f"{self.name}@{self.commit}"


class _Bar(tqdm):  # type: ignore[misc]  # the library has no types for it
    """A download's progress bar: on a terminal only, and gone when it is done."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "leave": False})


class _NoBar(tqdm):  # type: ignore[misc]
    """For files so small that bars would only flash by."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "disable": True})


def resolve(name: HubName, kind: Kind, key: str) -> str:
    """The commit that a name stands for now; where the hub can't be reached, the one that the cache knows it by.

    Args:
        name: of the repository.
        kind: "model" (tokenizers and reward models too) or "dataset".
        key: the place in the spec that an error names.

    Raises:
        UserError: no such repository or revision, no access, or it can be had neither from the hub nor the cache.
    """
    with explained(name, kind, key):
        return HfApi().resolve_revision(name.name, repo_type=kind, revision=name.revision).resolved


def fetch_config(name: HubName, key: str) -> Snapshot:
    """A model's configuration alone.

    Raises:
        UserError: see `resolve`; or the repository has no config.json.
    """
    return _fetch(name, "model", key, first=CONFIG)


def fetch_tokenizer(name: HubName, key: str) -> Snapshot:
    """A tokenizer's files, without weights.

    Raises:
        UserError: see `resolve`; or the download fails, or there are no such files.
    """
    return _fetch(name, "model", key, first=SMALL_FILES)


def fetch_model(name: HubName, key: str, say: Say | None = None) -> Snapshot:
    """A model's configuration and weights, with its tokenizer if it has one.

    Args:
        name: of the model or reward model.
        key: the place in the spec that an error names.
        say: told what is downloaded, if there is anything large.

    Raises:
        UserError: see `resolve`; or the download fails, or the repository has no weights that PyTorch reads.
    """

    def weights(folder: Path, files: Collection[str]) -> list[str]:
        for whole, index in WEIGHTS:
            if whole in files:
                return [whole]
            if index in files:
                content = json.loads((folder / index).read_text(encoding="utf-8"))
                return [index, *sorted(set(content["weight_map"].values()))]
        return [path for path in files if path == "adapter_config.json"]  # who loads it says what is wrong with it

    chosen = _More(weights, "weights; accepted: model.safetensors or pytorch_model.bin")
    return _fetch(name, "model", key, SMALL_FILES, chosen, say)


def fetch_dataset(name: HubName, key: str, say: Say | None = None) -> Snapshot:
    """A data set's files.

    Raises:
        UserError: see `resolve`; or the download fails, or the repository has no file that `datasets` reads.
    """

    def data(folder: Path, files: Collection[str]) -> list[str]:
        return [path for path in files if any(Path(path).match(pattern) for pattern in DATA_FILES)]

    chosen = _More(data, "data files; accepted: JSON, JSON lines, CSV or parquet")
    return _fetch(name, "dataset", key, CARD, chosen, say)


class _More(NamedTuple):
    """Which files are wanted, given the folder of the small ones and the paths of all, and what they are called."""

    choose: Callable[[Path, Collection[str]], list[str]]
    what: str


def _fetch(
    name: HubName, kind: Kind, key: str, first: Sequence[str], more: _More | None = None, say: Say | None = None
) -> Snapshot:
    """Bring the files that match `first` into the cache, then those that `more` chooses of all that there are."""
    commit = resolve(name, kind, key)

    with explained(name, kind, key):
        folder = Path(
            snapshot_download(
                name.name,
                repo_type=kind,
                revision=commit,
                allow_patterns=list(first),
                # "*" matches slashes too, and of a model nothing but the top is wanted: no ONNX, no checkpoints
                ignore_patterns="*/*" if kind == "model" else None,
                tqdm_class=_NoBar,
            )
        )
    if more is not None:
        listed = _listed(name.name, kind, commit)
        sizes = _sizes(folder) if listed is None else listed
        wanted = more.choose(folder, sizes)
        if not wanted and listed is not None:
            raise UserError(f"{key}: {name.shown!r} has no {more.what}")
        missing_bytes = sum(sizes[path] for path in wanted if path in sizes and not (folder / path).exists())
        _check_space(name, key, missing_bytes)
        if say is not None and missing_bytes > 10**7:
            say(f"downloading {name.shown} from the hub: {missing_bytes / 1e6:,.0f} MB")
        if not wanted:  # nor is there a list that says so: others have filled the cache
            raise UserError(f"{key}: {name.shown!r} is not whole in the cache {constants.HF_HUB_CACHE}")
        for path in wanted:  # one by one in this thread: threads would go on for minutes after Ctrl-C
            with explained(name, kind, key):
                hf_hub_download(name.name, path, repo_type=kind, revision=commit, tqdm_class=_Bar)
    elif not folder.is_dir() or (first == CONFIG and not (folder / CONFIG[0]).exists()):
        raise UserError(f"{key}: {name.shown!r} has no {first[0]}, so it is no model in Hugging Face's format")
    return Snapshot(name.name, commit, folder)


def _listed(name: str, kind: Kind, commit: str) -> dict[str, int] | None:
    """The sizes in bytes of a commit's files by path, as the hub told the cache; None if it never did."""
    try:
        return {file.path: file.size for file in get_cached_repo_tree(name, repo_type=kind, revision=commit)}
    except CachedRepoTreeNotFoundError:
        return None


def _sizes(folder: Path) -> dict[str, int]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_size for path in found}


def _check_space(name: HubName, key: str, needed_bytes: int) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    free_bytes = shutil.disk_usage(cache).free
    if needed_bytes > free_bytes:
        raise UserError(
            f"{key}: {name.shown!r} takes {needed_bytes / 1e6:,.0f} MB, but {cache} has {free_bytes / 1e6:,.0f} MB "
            "left; make room, or set HF_HOME to a folder on a larger disk"
        )
