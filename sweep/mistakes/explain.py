"""What is wrong with a spec, in one line each: the key, its value, and what a person can type instead."""

import difflib
import re
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from basis.errors import PROBLEM, REFUSED, shortened, shown
from basis.fields import LORA_FIELDS
from sweep.mistakes.accepted import accepted, accepted_keys, choices
from sweep.mistakes.gathered import MISSING, UNKNOWN, WRONG, Mistake, mistake
from sweep.mistakes.hints import key_hint, value_hint
from sweep.spec.schema import SweepSpec
from sweep.spec.seeds import ADAPTIVE_TAG, LISTED_TAG
from sweep.trial.config import TrialConfig

_KEY = "[key]"
"""Ends pydantic's location of a mapping's key that is wrong itself."""


def mistakes(error: ValidationError, model: type[BaseModel], prefix: str | Callable[[str], str] = "") -> list[Mistake]:
    """Every problem of a ValidationError in one line each: the key, the value, and what would be accepted.

    A missing key is left out where an unknown one beside it is told to be written so.

    Args:
        error: what pydantic found.
        model: what was validated.
        prefix: where that stands in the spec; or what tells it of a field.
    """
    found: list[Mistake] = []
    meant: set[tuple[int | str, ...]] = set()
    problems = error.errors(include_url=False)
    inner = {one["loc"][:length] for one in problems for length in range(len(one["loc"]))}
    wrong_lists = {one["loc"][:-1] for one in problems if one["type"] != "missing"}
    for one in sorted(problems, key=_order):
        short = one["type"] == "missing" and isinstance(one["loc"][-1], int)
        if (one["type"] == "too_short" and one["loc"] in inner) or (short and one["loc"][:-1] in wrong_lists):
            continue  # since what is wrong within doesn't count
        location = tuple(part for part in one["loc"] if part not in (LISTED_TAG, ADAPTIVE_TAG))
        if _order(one) == MISSING and location in meant:
            continue
        if one["type"] == PROBLEM:  # found by looking at a whole part; each has a key inside it
            for key, message in one["ctx"]["found"]:
                at = prefix(key) if callable(prefix) else prefix
                text = f"{_place(at, location)}.{key}: {message}" if location else f"{at}{key}: {message}"
                found.append(mistake(text))
            continue
        first = location[0] if location else one.get("ctx", {}).get("key", "")
        at = prefix(str(first)) if callable(prefix) else prefix
        text, instead = _told(one, location, model, at)
        if instead:
            meant.add((*location[:-1], instead))
        found.append(Mistake(_order(one), text))
    return found


def _order(one: ErrorDetails) -> int:
    return {"extra_forbidden": UNKNOWN, "missing": MISSING}.get(one["type"], WRONG)


def _told(one: ErrorDetails, location: tuple[int | str, ...], model: type[BaseModel], prefix: str) -> tuple[str, str]:
    """A problem in one line, and the key that an unknown one was meant for."""
    value = one["input"]
    if one["type"] == REFUSED:
        location, value = (*location, one["ctx"]["key"]), one["ctx"]["value"]
    if location and location[-1] == _KEY:
        return f"{_place(prefix, location[:-2])}: the key {shown(value)} is not accepted; accepted: names", ""
    if one["type"] == "extra_forbidden":
        return _unknown_key(prefix, location, model)
    if one["type"] == "missing" and location and isinstance(location[-1], str):
        words = accepted(model, location)
        stands = f"; {location[-1]} {_stands(location[-1])}" if model is TrialConfig else ""
        return f"{_place(prefix, location)}: missing{stands}{f'; accepted: {words}' if words else ''}", ""
    if one["type"] == "missing":  # a list that is too short
        location = location[:-1]
    key = _place(prefix, location)
    message = one["msg"].removeprefix("Value error, ")
    if one["type"] == "value_error":
        named = message.startswith((str(value), repr(value)))
        return f"{key}: {message}" if named else f"{key}: {shown(value)}: {message}", ""
    name = next((part for part in reversed(location) if isinstance(part, str)), "")
    hint = value_hint(name, value, choices(model, location))
    if model is TrialConfig and isinstance(value, list | dict) and not prefix.startswith("space"):
        hint = hint or "lists of choices and ranges stand in a branch of space"
    words = accepted(model, location) or message.replace("Input should be ", "")
    if isinstance(value, bool) and words.startswith(("text", "'")):
        hint = "on, off, yes and no are true and false to YAML: write them in quotes"
    return f"{key}: {shown(value)} is not accepted; accepted: {words}{hint and f'; {hint}'}", ""


def _place(prefix: str, location: Sequence[int | str]) -> str:
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{shortened(part, 60)}" for part in location)
    return prefix + parts.lstrip(".") if location else prefix.rstrip(".")


def _unknown_key(prefix: str, location: Sequence[int | str], model: type[BaseModel]) -> tuple[str, str]:
    """What an unknown key is answered with, and the key that it was meant for, where one may guess it."""
    key, word = _place(prefix, location), str(location[-1])
    keys = accepted_keys(model, location[:-1])
    if not location[:-1] and model is SweepSpec:
        keys += ["extends", "variants"]
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


def listed(keys: Sequence[str], letters: int = 150) -> str:
    """Keys joined by commas, as many as there are `letters` for, and the number of the others."""
    text = ", ".join(keys)
    if len(text) <= letters:
        return text
    room = [one for number, one in enumerate(keys) if len(", ".join(keys[: number + 1])) <= letters]
    return f"{', '.join(room)} and {len(keys) - len(room)} more"


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
