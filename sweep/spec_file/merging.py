"""The files and settings that make one spec, merged: what it extends, itself, its variant, and --set."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from basis.errors import UserError, shortened, shown
from sweep.schema.places import PRESETS, Beside, expand, looked_from
from sweep.spec_file.inherited import after_settings, what_passes_on
from sweep.spec_file.origins import Origins, locations, overridden
from sweep.spec_file.paths import resolve_paths
from sweep.spec_file.plain_values import plain_spec
from sweep.spec_file.presets import preset_names
from sweep.spec_file.read_yaml import read_lines
from sweep.spec_file.settings import names_any, parse_setting, set_value

BELONG_TO_TRAIN = ("test", "exclude", "general")
"""Keys of `data` that are not inherited by whoever gives a `train` of their own."""


UNNAMED = "sweep"
"""The name of a spec that comes as a mapping without one; a file's name is that of the file."""


class MergedSpec(NamedTuple):
    """A spec before it is validated.

    Attributes:
        values: of the whole spec.
        beside: the folders of the files that name relative paths at which nothing lies, see `resolve_paths`.
        origins: where each value was given.
    """

    values: dict[str, Any]
    beside: Beside
    origins: Origins


def merge_spec(given: str | Mapping[str, Any], overrides: Sequence[str]) -> MergedSpec:
    """Read a spec and all that it extends, and merge them; `load.load_spec` tells in which order.

    Args:
        given: a preset's name, the path of a YAML file, or a mapping, whose paths lead from the working directory.
        overrides: settings of the command line, such as "trial.steps=100".

    Raises:
        UserError: a file that is not there or no spec, an unknown variant, or a setting that can't be made.
    """
    beside: Beside = {}
    merged, origins = _inherit(given, beside)
    settings = [parse_setting(text) for text in overrides]
    chosen = [value for key, value in settings if key == "variant"]
    variant = chosen[-1] if chosen else merged.get("variant")
    variants = merged.pop("variants", {})
    if not isinstance(variants, dict):
        raise UserError(f"variants: {shown(variants)} is not accepted; it maps a variant's name to what it changes")
    if variant is not None:
        if not isinstance(variant, str) or variant not in variants:
            known = ", ".join(map(str, variants)) or "none in this spec"
            raise UserError(f"variant: {shown(variant)} is unknown; accepted: {known}")
        merged = _merge(merged, variants[variant], place=f"variants.{variant}")
        chosen_keys = ("variants", variant)
        of_variant = {location[2:]: origin for location, origin in origins.items() if location[:2] == chosen_keys}
        origins = overridden(origins, of_variant)
    keys = [key for key, _ in settings]
    if isinstance(merged.get("data"), dict) and names_any(keys, "data.train"):
        kept = [name for name in BELONG_TO_TRAIN if names_any(keys, f"data.{name}")]
        merged["data"] = {k: v for k, v in merged["data"].items() if k in kept or k not in BELONG_TO_TRAIN}
    for key, value in settings:
        location = set_value(merged, key, value)
        origins = overridden(origins, dict.fromkeys(locations(value, location), f"--set {shortened(key, 60)}"))
    return MergedSpec(after_settings(merged, keys), beside, origins)


def _merge(below: dict[str, Any], above: Any, key: str = "", place: str = "") -> dict[str, Any]:
    if not isinstance(above, dict):
        raise UserError(f"{place}: {shown(above)} is not accepted; accepted: a mapping of keys to values")
    merged = dict(below)
    if key == "data" and "train" in above:
        merged = {name: value for name, value in below.items() if name not in BELONG_TO_TRAIN}
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value, name) if both else value
    return merged


def _read(path: Path) -> tuple[dict[str, Any], Origins]:
    content, lines = read_lines(path)
    name = shortened(path.name, 60)
    return {"name": path.stem, **content}, {at: f"{name}, line {line}" for at, line in lines.items()}


def _locate(name_or_path: str, folder: Path | None) -> Path:
    if name_or_path in preset_names():
        return PRESETS / f"{name_or_path}.yaml"
    path = expand(name_or_path)
    places = [folder / path, path] if folder else [path]
    file = next((place for place in places if os.path.isfile(place)), None)
    if file is None:
        near = difflib.get_close_matches(name_or_path, preset_names(), 1)
        hint = f" (did you mean {near[0]!r}?)" if near else looked_from(name_or_path, [folder] if folder else [])
        raise UserError(
            f"{shown(name_or_path)} is neither a preset nor a YAML file{hint}; presets: {', '.join(preset_names())}"
        )
    return file


def _inherit(
    given: str | Mapping[str, Any], beside: Beside, folder: Path | None = None, seen: tuple[Path, ...] = ()
) -> tuple[dict[str, Any], Origins]:
    if not isinstance(given, str):
        return _extend({"name": UNNAMED, **plain_spec(given)}, {}, Path.cwd() / UNNAMED, beside, seen)
    path = _locate(given, folder).resolve()
    if path in seen:
        raise UserError(f"{path}: extends itself, through {' and '.join(p.name for p in seen)}")
    return _extend(*_read(path), path, beside, seen)


def _extend(
    content: dict[str, Any], origins: Origins, path: Path, beside: Beside, seen: tuple[Path, ...]
) -> tuple[dict[str, Any], Origins]:
    """A spec's content, and the origins of its values, put upon the spec that it extends.

    Args:
        path: its file; of a mapping none that is there, in the working directory.
        beside: see `resolve_paths`.
        seen: the files that extend it.
    """
    if path.parent != PRESETS.resolve():  # presets name no paths
        content = resolve_paths(content, path.parent, beside)
    parent = content.pop("extends", None)
    if parent is None:
        return content, origins
    if not isinstance(parent, str):
        raise UserError(f"extends: {shown(parent)} is not accepted; it names one preset or YAML file")
    below, below_origins = _inherit(parent, beside, path.parent, (*seen, path))
    return _merge(what_passes_on(below, content, parent), content), overridden(below_origins, origins)
