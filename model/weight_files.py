"""The files that a model's weights are loaded from: which of a folder's they are, and what they say is in them.

Transformers takes whatever it finds: weights of the first format it knows, an adapter on top if PEFT is installed, and
a pointer of Git LFS for a damaged file. Here a folder has one reading, or is refused in one line.
"""

import json
import pickle
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.memory_limit import ran_out_of_memory

CONFIG_FILE = "config.json"
ADAPTER_CONFIG_FILE = "adapter_config.json"
WEIGHT_NAMES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Names of whole weights, or of the index of their shards, in the order in which Transformers looks for them."""

MERGING = "merge it into its model (PEFT's merge_and_unload, then save_pretrained) and name the folder of the result"
_POINTER = b"version https://git-lfs"
_TEXTS = (".json", ".txt", ".model", ".tiktoken")
_OF_OTHERS = (".h5", ".msgpack", ".gguf", ".onnx", ".ot", ".pt", ".pth", ".ckpt", ".npz", ".safetensors", ".bin")


class WeightsError(ValueError):
    """Weights that are not those of the model. The message is one line, for the user."""


class Header(NamedTuple):
    """What a file says of one of its tensors."""

    shape: tuple[int, ...]
    is_float: bool


def weight_files(folder: Path) -> list[Path]:
    """The files that the weights of a model's folder are loaded from; the index of shards, where there is one, first.

    Raises:
        WeightsError: there are none or no configuration, some are missing or are pointers of Git LFS, or an adapter
            makes it unclear what the weights are.
    """
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    names = choose_weights(folder, there)
    if (folder / ADAPTER_CONFIG_FILE).exists():
        if not names:
            raise WeightsError(f"it is an adapter's folder, without a model's weights; {MERGING}")
        raise WeightsError(
            f"{ADAPTER_CONFIG_FILE} lies beside whole weights, so an adapter may go on top of weights that it is in "
            f"already; if they are merged, remove {ADAPTER_CONFIG_FILE}, or else {MERGING}"
        )
    if not (folder / CONFIG_FILE).is_file():
        raise WeightsError(f"no {CONFIG_FILE} in it, which says what model it is")
    if parallel := sorted(folder.glob("shard-*-model-*-of-*.safetensors")):
        raise WeightsError(f"{parallel[0].name} is a shard of a distributed checkpoint; save the model whole")
    if not names:
        raise WeightsError(f"no weights in it{_instead(folder)}; accepted: {', '.join(WEIGHT_NAMES)}")
    files = [folder / name for name in names]
    refuse_pointers(files)
    return files


def choose_weights(folder: Path, there: Collection[str]) -> list[str]:
    """The names of the files that a model's weights are loaded from; an index of shards comes before them.

    Args:
        folder: has at least the configuration and, if there are shards, their index.
        there: the names of all files of the model, which need not be in the folder yet.

    Returns:
        Names out of `there`; none if it has no weights that are read.

    Raises:
        WeightsError: the index is damaged, or names shards that are not there.
    """
    first = next((name for name in _names(folder) if name in there), None)
    if first is None:
        return []
    if not first.endswith(".json"):
        return [first]
    shards = _shards(folder / first)
    missing = [name for name in shards if name not in there]
    if missing or not shards:
        example = f" (first: {missing[0]})" if missing else ""
        raise WeightsError(f"{len(missing)} of {len(shards)} shards that {first} names are missing{example}")
    return [first, *shards]


def refuse_pointers(files: list[Path]) -> None:
    """Refuse what Git leaves in place of large files where Git LFS has not fetched them.

    Raises:
        WeightsError: naming the first.
    """
    for path in files:
        with path.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise WeightsError(f"{path.name} is a pointer of Git LFS, not the file itself; fetch it: git lfs pull")


def check_folder(folder: Path) -> None:
    """Refuse a model's folder of which some file, for weights, tokenizer or configuration, is not what its name says.

    Raises:
        WeightsError: see `weight_files` and `refuse_pointers`.
    """
    refuse_pointers_in(folder)
    weight_files(folder)


def refuse_pointers_in(folder: Path) -> None:
    """Refuse a folder whose files of text, such as a tokenizer's, are pointers of Git LFS; see `refuse_pointers`."""
    refuse_pointers(sorted(path for path in folder.iterdir() if path.suffix in _TEXTS and path.is_file()))


def read_headers(files: list[Path]) -> dict[str, Header]:
    """Shape and kind of each tensor in the files, by its name there; no tensor is read.

    Args:
        files: what `weight_files` returned.

    Raises:
        WeightsError: a file is damaged, or holds something else than tensors by name.
    """
    headers: dict[str, Header] = {}
    for path in files:
        try:
            if path.suffix == ".safetensors":
                headers |= dict(_safetensors_headers(path))
            elif path.suffix != ".json":
                headers |= dict(_bin_headers(path))
        except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError) as error:
            if ran_out_of_memory(error):
                raise
            reason = re.split(r"[.:] |\n", str(error).strip() or "it ends too early")[0]
            raise WeightsError(f"{path.name} is damaged, or holds other things than tensors ({reason})") from error
    return headers


def _bin_headers(path: Path) -> Iterator[tuple[str, Header]]:
    content = torch.load(path, map_location="meta", weights_only=True)
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path.name} holds a {type(content).__name__}, not tensors by name")
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise WeightsError(
                f"{path.name} holds {str(name)!r}, which is no tensor; save the model's state dict alone"
            )
        yield name, Header(tuple(value.shape), value.is_floating_point())


def _safetensors_headers(path: Path) -> Iterator[tuple[str, Header]]:
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  # a safe_open is no mapping
            tensor = file.get_slice(name)
            yield name, Header(tuple(tensor.get_shape()), tensor.get_dtype() in ("F64", "F32", "F16", "BF16"))


def _names(folder: Path) -> tuple[str, ...]:
    """Names to look for, in order; a configuration can name its own file, which comes alone then."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        config = None  # whoever reads the configuration says so
    own = config.get("transformers_weights") if isinstance(config, dict) else None
    return (own,) if isinstance(own, str) else WEIGHT_NAMES


def _shards(index: Path) -> list[str]:
    refuse_pointers([index])
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        names = sorted(set(content["weight_map"].values()))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise WeightsError(f"{index.name} is damaged; it names no shards") from None
    if "metadata" not in content:
        raise WeightsError(f'{index.name} has no "metadata", without which it is not read; add "metadata": {{}} to it')
    return names


def _instead(folder: Path) -> str:
    """What lies there that may have been taken for weights, as part of a sentence."""
    lost = [name for name in WEIGHT_NAMES if (folder / name).is_symlink()]
    if lost:
        return f" ({lost[0]} is a link to a file that is not there)"
    others = sorted(path.name for path in folder.iterdir() if path.suffix in _OF_OTHERS)
    return f" ({others[0]} is not read)" if others else ""
