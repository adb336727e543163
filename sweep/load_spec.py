"""From a preset's name or a YAML path to a SweepSpec: inheritance, variants, --set, and errors in one clear line."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sweep.errors import PROBLEM, UserError
from sweep.seeds import ADAPTIVE_TAG, LISTED_TAG
from sweep.spec import SweepSpec

PRESETS = Path(__file__).parent / "presets"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as text, since its floats need a dot; here it is the number everybody means."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _parse(text: str) -> Any:
    return yaml.load(text, _Loader)  # a SafeLoader, so nothing but plain values


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
    Mappings are merged key by key; anything else, lists included, is replaced.

    Raises:
        UserError: in one line, what is wrong, where, and what would be accepted.
    """
    merged = _inherit(name_or_path)
    settings = [_split_override(text) for text in overrides]
    chosen = [value for key, value in settings if key == "variant"]
    variant = chosen[-1] if chosen else merged.get("variant")
    variants = merged.pop("variants", {})
    if not isinstance(variants, dict):
        raise UserError(f"variants: {variants!r} is not accepted; it maps a variant's name to what it changes")
    if variant is not None:
        if not isinstance(variant, str) or variant not in variants:
            raise UserError(f"variant: {variant!r} is unknown; accepted: {', '.join(variants) or 'none in this spec'}")
        merged = _merge(merged, variants[variant])
    for key, value in settings:
        _set(merged, key, value)
    return parse_spec(merged)


def parse_spec(values: dict[str, Any]) -> SweepSpec:
    """Validate a mapping that is already merged, such as the spec.yaml of an experiment directory.

    Raises:
        UserError: naming the first offending key, its value and what would be accepted.
    """
    try:
        return SweepSpec.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, SweepSpec)) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: the file is missing, is not UTF-8, is not YAML, or does not hold a mapping.
    """
    try:
        content = _parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: a spec is a mapping of keys to values, not {type(content).__name__}")
    return content


def _read(path: Path) -> dict[str, Any]:
    return {"name": path.stem, **read_yaml(path)}


def _locate(name_or_path: str, beside: Path | None) -> Path:
    if name_or_path in preset_names():
        return PRESETS / f"{name_or_path}.yaml"
    path = Path(name_or_path).expanduser()
    if beside is not None and not path.is_absolute():
        path = beside / path
    if not path.is_file():
        near = difflib.get_close_matches(name_or_path, preset_names(), 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UserError(
            f"{name_or_path!r} is neither a preset nor a YAML file{hint}; presets: {', '.join(preset_names())}"
        )
    return path


def _inherit(name_or_path: str, beside: Path | None = None, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    path = _locate(name_or_path, beside)
    path = path.resolve()
    if path in seen:
        raise UserError(f"{path}: extends itself, through {' and '.join(p.name for p in seen)}")
    content = _read(path)
    parent = content.pop("extends", None)
    if parent is None:
        return content
    if not isinstance(parent, str):
        raise UserError(f"extends: {parent!r} is not accepted; it names one preset or YAML file")
    return _merge(_inherit(parent, path.parent, (*seen, path)), content)


def _merge(below: dict[str, Any], above: Any) -> dict[str, Any]:
    if not isinstance(above, dict):
        raise UserError(f"{above!r} is not accepted where a mapping of keys to values belongs")
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _split_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"--set {text!r} is not accepted; write --set key=value, such as --set trial.steps=100")
    try:
        return key, _parse(value)
    except yaml.YAMLError:
        raise UserError(f"--set {text!r}: the value is not valid YAML") from None


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    at: Any = values
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents):
        inside = at[int(parent)] if isinstance(at, list) and parent.isdigit() and int(parent) < len(at) else None
        if isinstance(at, dict):
            inside = at.setdefault(parent, {})
        if not isinstance(inside, dict | list):
            raise UserError(f"--set {key}: {'.'.join(parents[: depth + 1])} has no keys of its own")
        if isinstance(at, dict):  # a copy, so that presets merged from one mapping stay apart
            inside = at[parent] = inside.copy()
        at = inside
    if isinstance(at, list):
        if not last.isdigit() or int(last) >= len(at):
            raise UserError(f"--set {key}: {last!r} is not an index; accepted: 0 to {len(at) - 1}")
        at[int(last)] = value
    else:
        at[last] = value


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """The first problem of a ValidationError in one line: the key, the value, and what would be accepted."""
    first = error.errors(include_url=False)[0]
    location = tuple(part for part in first["loc"] if part not in (LISTED_TAG, ADAPTIVE_TAG))
    key = prefix + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    value = first["input"]
    if first["type"] == "extra_forbidden":
        accepted = _accepted_keys(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), accepted, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"{key}: unknown key{hint}; accepted: {', '.join(accepted)}"
    if first["type"] == "missing":
        return f"{key}: missing"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be ", "")
    if first["type"] == PROBLEM:  # found by looking at a whole part; the message begins with the key inside it
        return f"{key}.{message}" if location else prefix + message
    if first["type"] == "value_error":
        return f"{key}: {message}" if message.startswith((str(value), repr(value))) else f"{key}: {value!r}: {message}"
    return f"{key}: {value!r} is not accepted; accepted: {message.split(', unable')[0]}"


def _accepted_keys(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            inner = _models_in(model.model_fields[part].annotation)
            if inner:
                model = inner[0]
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]
