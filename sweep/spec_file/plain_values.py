"""A spec that Python gives as a mapping, in the values that YAML has."""

import json
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import Any

from basis.errors import UserError, shortened, shown
from sweep.spec_file.read_yaml import MOST_LEVELS, parse_yaml


def plain_spec(spec: Mapping[Any, Any]) -> dict[str, Any]:
    """The mapping with lists for tuples, text for paths, and Python's own numbers for those of NumPy.

    Raises:
        UserError: naming the key of a value that no spec can hold.
    """
    plain: dict[str, Any] = _plain(spec, "the spec", 0)
    return plain


def settings_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Changes to a spec by their dotted keys, each as `--set` has it: "trial.steps=100".

    Raises:
        UserError: naming the key of a value that no spec can hold.
    """
    return tuple(f"{key}={_as_yaml(_plain(value, str(key), 0))}" for key, value in settings.items())


def _as_yaml(value: Any) -> str:
    """A value as YAML in one line; JSON is YAML, and text stays as it is where that is read as itself."""
    try:
        if isinstance(value, str) and parse_yaml(value, "") == value:
            return value
    except UserError:  # text that is no YAML
        pass
    return json.dumps(value)


def _plain(value: Any, key: str, level: int) -> Any:
    """A value as YAML would give it.

    Args:
        value: what stands at the key.
        key: for messages, such as "space[0].lr".
        level: of how many lists and mappings the value is within.
    """
    if level > MOST_LEVELS:
        raise UserError(f"{shortened(key, 60)}: lists or mappings are nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, str | os.PathLike):
        return _text(value, key)
    if isinstance(value, Mapping):
        inner = {_key(name, key): inside for name, inside in value.items()}
        prefix = "" if level == 0 and key == "the spec" else f"{key}."
        return {name: _plain(inside, f"{prefix}{name}", level + 1) for name, inside in inner.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(inside, f"{key}[{number}]", level + 1) for number, inside in enumerate(value)]
    kind = type(value).__name__
    raise UserError(f"{key}: {shown(value)} is a {kind}; accepted: numbers, text, paths, lists, mappings and None")


def _text(value: "str | os.PathLike[Any]", key: str) -> str:
    text = os.fspath(value)
    try:
        if isinstance(text, str) and text.encode():
            return str(text)
    except UnicodeEncodeError:
        raise UserError(f"{key}: {shown(value)} is not spelled in UTF-8") from None
    if text == "":
        return ""
    raise UserError(f"{key}: {shown(value)} is a path of bytes; accepted: one of text")


def _key(name: object, key: str) -> str:
    if not isinstance(name, str):
        raise UserError(f"{key}: the key {shown(name)} is no text")
    return _text(name, key)
