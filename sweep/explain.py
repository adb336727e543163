"""What is wrong with a spec, in one line: the key, its value, and what a person can type instead."""

import difflib
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from sweep.errors import PROBLEM
from sweep.seeds import ADAPTIVE_TAG, LISTED_TAG


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
