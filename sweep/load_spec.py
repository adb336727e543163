"""From a preset's name or a YAML path to a SweepSpec: inheritance, variants, --set, and errors in one clear line."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sweep.errors import UserError
from sweep.explain import explain
from sweep.inherited import after_settings, what_passes_on
from sweep.places import Beside, expand, looked_from
from sweep.read_yaml import parse_yaml, read_yaml
from sweep.spec import SweepSpec
from sweep.spec_paths import resolve_paths

PRESETS = Path(__file__).parent / "presets"

BELONG_TO_TRAIN = ("test", "exclude")
"""Keys of `data` that are not inherited by whoever gives a `train` of their own."""


def preset_names() -> list[str]:
    """Names of the presets, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset_about(name: str) -> str:
    """The one line that describes a preset."""
    return str(_read(PRESETS / f"{name}.yaml").get("about", ""))


def load_spec(name_or_path: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read, merge and validate a spec.

    The order of precedence, lowest first: the spec named by `extends`, the file itself, the variant that is chosen by
    `variant` (from `variants`), and then `overrides`, each "key=value" with a dotted key and a YAML value.
    Mappings are merged key by key; anything else, lists included, is replaced. One rule more: whoever gives
    `data.train` says what it is tested on, too. `data.test` and `data.exclude` from below belong to the train data
    from below, and go with it. Likewise `tables` from below belong to the `space` from below, see `sweep.inherited`.

    A relative path in a file leads from that file's folder if something lies there, or else from the working directory.

    Raises:
        UserError: in one line, what is wrong, where, and what would be accepted.
    """
    beside: Beside = {}
    merged = _inherit(name_or_path, beside)
    settings = [_split_override(text) for text in overrides]
    chosen = [value for key, value in settings if key == "variant"]
    variant = chosen[-1] if chosen else merged.get("variant")
    variants = merged.pop("variants", {})
    if not isinstance(variants, dict):
        raise UserError(f"variants: {variants!r} is not accepted; it maps a variant's name to what it changes")
    if variant is not None:
        if not isinstance(variant, str) or variant not in variants:
            raise UserError(f"variant: {variant!r} is unknown; accepted: {', '.join(variants) or 'none in this spec'}")
        merged = _merge(merged, variants[variant], place=f"variants.{variant}")
    keys = [key for key, _ in settings]
    if isinstance(merged.get("data"), dict) and _names_any(keys, "data.train"):
        kept = [name for name in BELONG_TO_TRAIN if _names_any(keys, f"data.{name}")]
        merged["data"] = {k: v for k, v in merged["data"].items() if k in kept or k not in BELONG_TO_TRAIN}
    for key, value in settings:
        _set(merged, key, value)
    return parse_spec(after_settings(merged, keys), beside)


def parse_spec(values: dict[str, Any], beside: Beside | None = None) -> SweepSpec:
    """Validate a mapping that is already merged, such as the spec.yaml of an experiment directory.

    Args:
        values: the mapping.
        beside: what `resolve_paths` was told; None for a spec that was kept, whose names have been understood before.

    Raises:
        UserError: naming the first offending key, its value and what would be accepted.
    """
    try:
        return SweepSpec.model_validate(values, context=beside)
    except ValidationError as error:
        raise UserError(explain(error, SweepSpec)) from None


def parse_kept_spec(values: dict[str, Any]) -> SweepSpec:
    """Validate the spec that an experiment keeps; before there was `choose_on`, searches tested all that they tried.

    Raises:
        UserError: as `parse_spec`.
    """
    before = values.get("search") in ("random", "optuna") and "choose_on" not in values
    return parse_spec({**values, "choose_on": "test"} if before else values)


def _read(path: Path) -> dict[str, Any]:
    return {"name": path.stem, **read_yaml(path)}


def _locate(name_or_path: str, folder: Path | None) -> Path:
    if name_or_path in preset_names():
        return PRESETS / f"{name_or_path}.yaml"
    path = expand(name_or_path)
    found = next((one for one in ([folder / path] if folder else []) + [path] if os.path.isfile(one)), None)
    if found is None:
        near = difflib.get_close_matches(name_or_path, preset_names(), 1)
        hint = f" (did you mean {near[0]!r}?)" if near else looked_from(name_or_path, [folder] if folder else [])
        raise UserError(
            f"{name_or_path!r} is neither a preset nor a YAML file{hint}; presets: {', '.join(preset_names())}"
        )
    return found


def _inherit(
    name_or_path: str, beside: Beside, folder: Path | None = None, seen: tuple[Path, ...] = ()
) -> dict[str, Any]:
    path = _locate(name_or_path, folder).resolve()
    if path in seen:
        raise UserError(f"{path}: extends itself, through {' and '.join(p.name for p in seen)}")
    content = _read(path)
    if path.parent != PRESETS.resolve():  # presets name no paths
        content = resolve_paths(content, path.parent, beside)
    parent = content.pop("extends", None)
    if parent is None:
        return content
    if not isinstance(parent, str):
        raise UserError(f"extends: {parent!r} is not accepted; it names one preset or YAML file")
    return _merge(what_passes_on(_inherit(parent, beside, path.parent, (*seen, path)), content, parent), content)


def _merge(below: dict[str, Any], above: Any, key: str = "", place: str = "") -> dict[str, Any]:
    if not isinstance(above, dict):
        raise UserError(f"{place}: {above!r} is not accepted; accepted: a mapping of keys to values")
    merged = dict(below)
    if key == "data" and "train" in above:
        merged = {name: value for name, value in below.items() if name not in BELONG_TO_TRAIN}
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value, name) if both else value
    return merged


def _split_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if key in ("extends", "variants"):
        raise UserError(f"--set {key}: not accepted; write it into a file")
    if not equals or not all(key.split(".")):
        raise UserError(f"--set {text!r} is not accepted; write --set key=value, such as --set trial.steps=100")
    return key, parse_yaml(value, f"--set {key}")


def _names_any(keys: Sequence[str], name: str) -> bool:
    """Whether one of the dotted keys is `name` or lies within it."""
    return any(key == name or key.startswith(f"{name}.") for key in keys)


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    at: Any = values
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents):
        inside = at[int(parent)] if isinstance(at, list) and parent.isdigit() and int(parent) < len(at) else None
        if isinstance(at, dict):
            inside = at.setdefault(parent, {})
        if not isinstance(inside, dict | list):
            place = ".".join(parents[: depth + 1])
            if isinstance(at, list):
                raise UserError(f"--set {key}: there is no {place}; accepted: 0 to {len(at) - 1} instead of {parent!r}")
            raise UserError(f"--set {key}: {place} has no keys of its own")
        if isinstance(at, dict):  # a copy, so that presets merged from one mapping stay apart
            inside = at[parent] = inside.copy()
        at = inside
    if isinstance(at, list):
        if not last.isdigit() or int(last) >= len(at):
            raise UserError(f"--set {key}: {last!r} is not an index; accepted: 0 to {len(at) - 1}")
        at[int(last)] = value
    else:
        at[last] = value
