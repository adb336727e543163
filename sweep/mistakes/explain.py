"""What is wrong with a spec, in one line each: the key, its value, and what a person can type instead."""

import difflib
import re
from collections.abc import Callable, Iterator

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from basis.errors import PROBLEM, REFUSED, SECRET, shortened, shown
from basis.fields import ADAPTER_FIELDS
from sweep.mistakes.accepted import Location, accepted, accepted_keys, choices, listed
from sweep.mistakes.gathered import MISSING, UNKNOWN, WRONG, Mistake, mistake
from sweep.mistakes.hints import key_hint, value_hint
from sweep.schema.model import ONE_TAG, SEVERAL_TAG
from sweep.schema.seeds import ADAPTIVE_TAG, LISTED_TAG
from sweep.schema.sweep_spec import KEYS_OF_A_FILE, SET_BY_THE_SWEEP, SweepSpec
from sweep.trial.config import TrialConfig

TAGS = (LISTED_TAG, ADAPTIVE_TAG, ONE_TAG, SEVERAL_TAG)
"""Steps of a location that nobody types."""

_KEY = "[key]"
"""Ends the location that pydantic gives for a wrong key of a mapping."""


def mistakes(error: ValidationError, model: type[BaseModel], prefix: str | Callable[[str], str] = "") -> list[Mistake]:
    """Every problem of a ValidationError as one line: the key, its value, and what would be accepted.

    A missing key is left out where an unknown key beside it was meant for it. A list that is too short is left out
    where one of its items is wrong.

    Args:
        error: what pydantic found.
        model: what was validated.
        prefix: where the model stands in the spec, such as "trial."; or a function that tells it of a field.

    Returns:
        The mistakes; unknown keys first, missing ones last.
    """
    prefix_of = prefix if callable(prefix) else lambda _field: prefix
    problems = error.errors(include_url=False)
    inner = {problem["loc"][:length] for problem in problems for length in range(len(problem["loc"]))}
    wrong_lists = {problem["loc"][:-1] for problem in problems if problem["type"] != "missing"}
    found: list[Mistake] = []
    meant: set[tuple[int | str, ...]] = set()
    for problem in sorted(problems, key=_order):
        item_is_missing = problem["type"] == "missing" and isinstance(problem["loc"][-1], int)
        too_short = problem["type"] == "too_short" and problem["loc"] in inner
        if too_short or (item_is_missing and problem["loc"][:-1] in wrong_lists):
            continue
        location = tuple(part for part in problem["loc"] if part not in TAGS)
        if _order(problem) == MISSING and location in meant:
            continue
        if problem["type"] == PROBLEM:
            found += _of_a_part(problem, location, prefix_of)
            continue
        field = location[0] if location else problem.get("ctx", {}).get("key", "")
        text, instead = _told(problem, location, model, prefix_of(str(field)))
        if instead:
            meant.add((*location[:-1], instead))
        found.append(Mistake(_order(problem), text))
    return found


def _order(problem: ErrorDetails) -> int:
    return {"extra_forbidden": UNKNOWN, "missing": MISSING}.get(problem["type"], WRONG)


def _of_a_part(problem: ErrorDetails, location: Location, prefix_of: Callable[[str], str]) -> Iterator[Mistake]:
    """What a validator of a whole part has found: a mistake for each key that it names."""
    for key, message in problem["ctx"]["found"]:
        prefix = prefix_of(key)
        yield mistake(f"{_place(prefix, location)}.{key}: {message}" if location else f"{prefix}{key}: {message}")


def _told(problem: ErrorDetails, location: Location, model: type[BaseModel], prefix: str) -> tuple[str, str]:
    """A problem in one line; and the key that an unknown key was meant for, or ""."""
    value = problem["input"]
    if problem["type"] == REFUSED:
        location, value = (*location, problem["ctx"]["key"]), problem["ctx"]["value"]
    if location and location[-1] == _KEY:
        return f"{_place(prefix, location[:-2])}: the key {shown(value)} is not accepted; accepted: names", ""
    if problem["type"] == "extra_forbidden":
        return _unknown_key(prefix, location, model)
    if problem["type"] == "missing" and location and isinstance(location[-1], str):
        words = accepted(model, location)
        stands = f"; {location[-1]} {_stands(location[-1])}" if model is TrialConfig else ""
        return f"{_place(prefix, location)}: missing{stands}{f'; accepted: {words}' if words else ''}", ""
    if problem["type"] == "missing":  # a list that is too short
        location = location[:-1]
    key = _place(prefix, location)
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == SECRET:
        return f"{key}: {message}", ""
    if problem["type"] == "value_error":
        named = message.startswith((str(value), repr(value)))
        word = next((part for part in reversed(location) if isinstance(part, str)), "")
        hint = value_hint(word, value, ()) if "did you mean" not in message else ""
        return f"{key}: {message}" if named else f"{key}: {shown(value)}: {message}{hint and f'; {hint}'}", ""
    name = next((part for part in reversed(location) if isinstance(part, str)), "")
    hint = value_hint(name, value, choices(model, location))
    if model is TrialConfig and isinstance(value, list | dict) and not prefix.startswith("space"):
        hint = hint or "lists of choices and ranges stand in a branch of space"
    words = accepted(model, location) or message.replace("Input should be ", "")
    if isinstance(value, bool) and words.startswith(("text", "'")):
        hint = "on, off, yes and no are true and false to YAML: write them in quotes"
    return f"{key}: {shown(value)} is not accepted; accepted: {words}{hint and f'; {hint}'}", ""


def _place(prefix: str, location: Location) -> str:
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{shortened(part, 60)}" for part in location)
    return prefix + parts.lstrip(".") if location else prefix.rstrip(".")


def _unknown_key(prefix: str, location: Location, model: type[BaseModel]) -> tuple[str, str]:
    """An unknown key in one line; and the key that it was meant for, or "" where nobody can tell."""
    key, word = _place(prefix, location), str(location[-1])
    keys = accepted_keys(model, location[:-1])
    if not location[:-1] and model is SweepSpec:
        keys += KEYS_OF_A_FILE
    known = key_hint(word)
    if known:
        own = re.split(r"[,;: ]", known)[0]
        stands = "" if own in keys or own not in TrialConfig.model_fields else f" ({_stands(own)})"
        return f"{key}: unknown key; here it is {known}{stands}", own
    if _stands(word):
        return f"{key}: unknown key; {word} {_stands(word)}", ""
    near = difflib.get_close_matches(word, keys, 1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{key}: unknown key{hint}; accepted: {listed(keys)}", near[0] if near else ""


def _stands(word: str) -> str:
    """Where a key of a spec stands; "" for a word that is none."""
    if word in SET_BY_THE_SWEEP:
        return ""
    if word in TrialConfig.model_fields:
        return f"stands in a branch of space, or under {'lora' if word in ADAPTER_FIELDS else 'trial'}"
    if word in SweepSpec.model_fields:
        return "stands at the top of a spec"
    parts = [part for part in SweepSpec.model_fields if word in accepted_keys(SweepSpec, [part])]
    return f"stands under {parts[0]}" if len(parts) == 1 else ""
