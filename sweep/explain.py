"""What is wrong with a spec, in one line: the key, its value, and what a person can type instead."""

import difflib
import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sweep.accepted import accepted, accepted_keys, choices
from sweep.errors import PROBLEM, REFUSED
from sweep.hints import key_hint, value_hint
from sweep.seeds import ADAPTIVE_TAG, LISTED_TAG
from sweep.spec import SweepSpec
from sweep.trial import LORA_FIELDS, TrialConfig

_KEY = "[key]"
"""Ends pydantic's location of a mapping's key that is wrong itself."""


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """The first problem of a ValidationError in one line: the key, the value, and what would be accepted.

    An unknown key goes before a missing one, which it may have been meant for.

    Args:
        error: what pydantic found.
        model: what was validated.
        prefix: where that stands in the spec.
    """
    first = first_problem(error)
    location = [part for part in first["loc"] if part not in (LISTED_TAG, ADAPTIVE_TAG)]
    value = first["input"]
    if first["type"] == REFUSED:
        location, value = [*location, first["ctx"]["key"]], first["ctx"]["value"]
    if location and location[-1] == _KEY:
        return f"{_place(prefix, location[:-2])}: the key {shown(value)} is not accepted; accepted: names"
    if first["type"] == "extra_forbidden":
        return _unknown_key(prefix, location, model)
    if first["type"] == "missing" and location and isinstance(location[-1], str):
        words = accepted(model, location)
        stands = f"; {location[-1]} {_stands(location[-1])}" if model is TrialConfig else ""
        return f"{_place(prefix, location)}: missing{stands}{f'; accepted: {words}' if words else ''}"
    if first["type"] == "missing":  # a list that is too short
        location = location[:-1]
    key = _place(prefix, location)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == PROBLEM:  # found by looking at a whole part; the message begins with the key inside it
        return f"{key}.{message}" if location else prefix + message
    if first["type"] == "value_error":
        named = message.startswith((str(value), repr(value)))
        return f"{key}: {message}" if named else f"{key}: {shown(value)}: {message}"
    name = next((part for part in reversed(location) if isinstance(part, str)), "")
    hint = value_hint(name, value, choices(model, location))
    if model is TrialConfig and isinstance(value, list | dict) and not prefix.startswith("space"):
        hint = hint or "lists of choices and ranges stand in a branch of space"
    words = accepted(model, location) or message.replace("Input should be ", "")
    return f"{key}: {shown(value)} is not accepted; accepted: {words}{hint and f'; {hint}'}"


def first_problem(error: ValidationError) -> ErrorDetails:
    """The problem to be told first: an unknown key, or else the first one."""
    problems = error.errors(include_url=False)
    return next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])


def shown(value: Any) -> str:
    """A value as YAML has it, cut short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _place(prefix: str, location: Sequence[int | str]) -> str:
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return prefix + parts.lstrip(".") if location else prefix.rstrip(".")


def _unknown_key(prefix: str, location: Sequence[int | str], model: type[BaseModel]) -> str:
    key, word = _place(prefix, location), str(location[-1])
    keys = accepted_keys(model, location[:-1])
    if not location[:-1] and model is SweepSpec:
        keys += ["extends", "variants"]
    known = key_hint(word)
    if known:
        own = re.split(r"[,;: ]", known)[0]
        stands = "" if own in keys or own not in TrialConfig.model_fields else f" ({_stands(own)})"
        return f"{key}: unknown key; here it is {known}{stands}"
    if _stands(word):
        return f"{key}: unknown key; {word} {_stands(word)}"
    near = difflib.get_close_matches(word, keys, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{key}: unknown key{hint}; accepted: {', '.join(keys)}"


def _stands(word: str) -> str:
    """Where a key of a spec stands; "" for a word that is none."""
    if word == "evaluate_on":  # which follows from the search
        return ""
    if word in TrialConfig.model_fields:
        return f"stands in a branch of space, or under {'lora' if word in LORA_FIELDS else 'trial'}"
    if word in SweepSpec.model_fields:
        return "stands at the top of a spec"
    parts = [part for part in SweepSpec.model_fields if word in accepted_keys(SweepSpec, [part])]
    return f"stands under {parts[0]}" if len(parts) == 1 else ""
