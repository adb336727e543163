"""Paths of a spec file, made absolute where they lie beside it, so that specs merge whatever folders they come from."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from basis.errors import UserError
from sweep.spec.file_patterns import matching_files
from sweep.spec.hub_names import model_name
from sweep.spec.places import Beside
from sweep.spec.sources import suffix_of


def _is_data(path: Path) -> bool:
    try:
        return bool(suffix_of(path.name)) and bool(matching_files(path))
    except UserError:  # too many files: said when the merged spec is validated
        return True


_LIES_THERE: Mapping[tuple[str, str], Callable[[Path], bool]] = {
    ("data", "train"): _is_data,
    ("data", "test"): _is_data,
    ("data", "exclude"): _is_data,
    ("model", "name"): os.path.isdir,
    ("model", "tokenizer"): os.path.isdir,
    ("reward", "model"): os.path.isdir,
    ("reward", "prompts"): os.path.isfile,
}
"""The keys of a spec that may hold paths, and what tells that such a path lies there."""


def resolve_paths(content: dict[str, Any], folder: Path, beside: Beside) -> dict[str, Any]:
    """The content of a spec file with each relative path that leads somewhere from `folder` made absolute.

    Paths that lead nowhere stay as they are: they are looked for from the working directory when the merged spec is
    validated.

    Args:
        content: the file's mapping; variants are looked into as well.
        folder: where the file lies.
        beside: told which paths lead nowhere from `folder`.
    """
    resolved = dict(content)
    for (part, key), lies_there in _LIES_THERE.items():
        values = resolved.get(part)
        if not isinstance(values, dict) or key not in values:
            continue
        value = values[key]
        if isinstance(value, list):
            found: Any = [_resolve(one, folder, lies_there, beside) for one in value]
        else:
            found = _resolve(value, folder, lies_there, beside)
        resolved[part] = {**values, key: found}
    variants = resolved.get("variants")
    if isinstance(variants, dict):
        resolved["variants"] = {
            name: resolve_paths(variant, folder, beside) if isinstance(variant, dict) else variant
            for name, variant in variants.items()
        }
    return resolved


def _resolve(value: Any, folder: Path, lies_there: Callable[[Path], bool], beside: Beside) -> Any:
    if not isinstance(value, str) or value.startswith(("~", "/")) or "\0" in value:
        return value
    path = Path(os.path.abspath(folder / value))
    is_model_name = lies_there is os.path.isdir and model_name(value) is not None
    if not is_model_name and lies_there(path):
        return str(path)
    beside.setdefault(value, []).append(folder)
    return value
