"""Relative paths of a spec file, made absolute: so specs from several folders can be merged."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from basis.errors import UserError
from sweep.schema.data_folders import suffix_of
from sweep.schema.file_patterns import matching_files
from sweep.schema.hub_names import model_name
from sweep.schema.places import Beside
from sweep.schema.sources import is_pattern


def _is_data(path: Path) -> bool:
    named = bool(suffix_of(path.name)) or is_pattern(path.name)
    try:
        return os.path.isdir(path) or (named and bool(matching_files(path)))
    except UserError:  # too many files; validation of the merged spec tells it
        return True


_LIES_THERE: Mapping[tuple[str, str], Callable[[Path], bool]] = {
    ("data", "train"): _is_data,
    ("data", "test"): _is_data,
    ("data", "exclude"): _is_data,
    ("data", "general"): _is_data,
    ("data", "template"): os.path.isfile,
    ("reward", "model"): os.path.isdir,
    ("reward", "prompts"): os.path.isfile,
}
"""The keys of a spec that may hold paths; and for each whether something of its kind lies at a path.

Those of base models have a function of their own, since there may be several.
"""


def resolve_paths(content: dict[str, Any], folder: Path, beside: Beside) -> dict[str, Any]:
    """The content of a spec file, with each relative path made absolute under which something lies in `folder`.

    The other paths stay as they are. When the merged spec is validated, they lead from the working directory.

    Args:
        content: the file's mapping; its variants hold paths, too.
        folder: the folder of the file.
        beside: gets the paths that stay as they are, each with `folder`.
    """
    resolved = _resolve_models(content, folder, beside)
    for (part, key), lies_there in _LIES_THERE.items():
        values = resolved.get(part)
        if not isinstance(values, dict) or key not in values:
            continue
        value = values[key]
        if isinstance(value, list):
            paths: Any = [_resolve(path, folder, lies_there, beside) for path in value]
        else:
            paths = _resolve(value, folder, lies_there, beside)
        resolved[part] = {**values, key: paths}
    variants = resolved.get("variants")
    if isinstance(variants, dict):
        resolved["variants"] = {
            name: resolve_paths(variant, folder, beside) if isinstance(variant, dict) else variant
            for name, variant in variants.items()
        }
    return resolved


def _resolve_models(content: dict[str, Any], folder: Path, beside: Beside) -> dict[str, Any]:
    """The content with the paths of base models: of one or several, and where trials name theirs.

    A name alone becomes a mapping, so that mappings are merged with it.
    """

    def path_of(value: Any) -> Any:
        if isinstance(value, list):
            return [path_of(entry) for entry in value]
        if isinstance(value, dict):
            return {k: path_of(v) if k in ("name", "tokenizer") else v for k, v in value.items()}
        return _resolve(value, folder, os.path.isdir, beside)

    def part_of(value: Any) -> Any:
        return path_of({"name": value} if isinstance(value, str) else value)

    resolved = dict(content)
    if "model" in resolved:
        model = resolved["model"]
        resolved["model"] = [part_of(entry) for entry in model] if isinstance(model, list) else part_of(model)
    trial, space = resolved.get("trial"), resolved.get("space")
    if isinstance(trial, dict) and "model" in trial:
        resolved["trial"] = {**trial, "model": path_of(trial["model"])}
    if isinstance(space, list):
        resolved["space"] = [
            {k: path_of(v) if k == "model" else v for k, v in branch.items()} if isinstance(branch, dict) else branch
            for branch in space
        ]
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
