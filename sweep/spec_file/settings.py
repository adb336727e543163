"""--set: values of a spec that the command line gives by their dotted keys."""

from collections.abc import Sequence
from typing import Any

from basis.errors import UserError, shortened, shown
from sweep.spec_file.read_yaml import Location, parse_yaml

MOST_PARTS = 10
"""Of a dotted key."""


def parse_setting(text: str) -> tuple[str, Any]:
    """The dotted key and the YAML value of "key=value".

    Raises:
        UserError: the text is no setting, or its key can't be set here.
    """
    key, equals, value = text.partition("=")
    if key in ("extends", "variants"):
        raise UserError(f"--set {key}: not accepted; write it into a file")
    parts = key.split(".")
    if not equals or not all(parts) or not key.isprintable():
        raise UserError(f"--set {shown(text)} is not accepted; write --set key=value, such as --set trial.steps=100")
    if len(parts) > MOST_PARTS:
        raise UserError(f"--set {shortened(key, 60)}: has {len(parts)} parts; no key of a spec has more than a few")
    return key, parse_yaml(value, f"--set {shortened(key, 60)}")


def names_any(keys: Sequence[str], name: str) -> bool:
    """Whether one of the dotted keys is `name` or lies within it."""
    return any(key == name or key.startswith(f"{name}.") for key in keys)


def set_value(values: dict[str, Any], dotted: str, value: Any) -> Location:
    """Set a value at a dotted key.

    Returns:
        The keys and indices that lead to the value.

    Raises:
        UserError: nothing can be set there.
    """
    at: Any = values
    key = shortened(dotted, 60)
    *parents, last = dotted.split(".")
    location: list[int | str] = []
    for depth, parent in enumerate(parents):
        index = _index(parent, at)
        inside = None if index is None else at[index]
        if isinstance(at, dict):
            inside = at.setdefault(parent, {})
        if not isinstance(inside, dict | list):
            place = shortened(".".join(parents[: depth + 1]), 60)
            if isinstance(at, list) and index is None:
                raise UserError(f"--set {key}: there is no {place}; {_indices(at)} instead of {shown(parent)}")
            raise UserError(f"--set {key}: {place} has no keys of its own")
        if isinstance(at, dict):  # a copy, so that presets merged from one mapping stay apart
            inside = at[parent] = inside.copy()
        location.append(parent if index is None else index)
        at = inside
    if isinstance(at, list):
        index = _index(last, at)
        if index is None:
            raise UserError(f"--set {key}: {shown(last)} is not an index; {_indices(at)}")
        at[index] = value
        return (*location, index)
    at[last] = value
    return (*location, last)


def _index(text: str, at: object) -> int | None:
    """The index that a text names in a list; None for any other text, and where there is no list."""
    digits = text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if isinstance(at, list) and digits and int(text) < len(at) else None


def _indices(values: Sequence[object]) -> str:
    return f"accepted: 0 to {len(values) - 1}" if values else "it is an empty list"
