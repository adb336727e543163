"""A request in words, as one types it behind a directory: what the command and the page both send."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from basis.control_record import Origin
from basis.errors import UserError, shown
from sweep.spec_file.read_yaml import parse_yaml
from sweep.steering.request import Request

MOST_DIGITS = 9
"""Of a number of seeds, with its sign; Python reads no number of thousands of digits."""
FORMS = "stop [TRIAL], start TRIAL, clone TRIAL FIELD=VALUE ..., add CONFIG, seeds +N [ARM]"


def request_in_words(words: Sequence[str], origin: Origin) -> Request:
    """The request that words ask for.

    Args:
        words: an action and what it needs, see FORMS.
        origin: where they come from.

    Raises:
        UserError: they ask for nothing that there is.
    """
    match list(words):
        case ["stop"]:
            return Request("stop", origin)
        case ["stop", trial]:
            return Request("stop", origin, _trial(trial))
        case ["start", trial]:
            return Request("start", origin, _trial(trial))
        case ["add", config]:
            return Request("add", origin, values=_mapping(config))
        case ["clone", trial, change, *further]:
            return Request("clone", origin, _trial(trial), _changes([change, *further]))
        case ["seeds", number]:
            return Request("seeds", origin, seeds=_number(number))
        case ["seeds", number, arm]:
            return Request("seeds", origin, _trial(arm), seeds=_number(number))
    raise UserError(f"{shown(' '.join(words))} is not accepted; accepted: {FORMS}")


def _trial(word: str) -> str:
    """A trial as one names it: by its name, or by the path of its directory, as a shell completes it."""
    name = Path(word).name if "/" in word else word
    if not name.strip():  # such as an unset variable of a shell, which must not ask for all trials
        raise UserError(f"{shown(word)} names no trial and no arm; leave the word out to ask for the whole sweep")
    return name


def _number(word: str) -> int:
    if not word.removeprefix("+").isdecimal() or len(word) > MOST_DIGITS:
        raise UserError(f"seeds {shown(word)} is not accepted; accepted: how many further ones, such as +2")
    return int(word)


def _mapping(text: str) -> dict[str, Any]:
    values = parse_yaml(text, "add")
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise UserError(
            f"add {shown(text)} is not accepted; accepted: the fields of a trial, such as "
            "'{method: full, optimizer: adamw, lr: 1e-3}'"
        )
    return values


def _changes(words: Sequence[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for word in words:
        field, equals, value = word.partition("=")
        if not (field and equals):
            raise UserError(f"clone: {shown(word)} is not accepted; accepted: FIELD=VALUE, such as lr=3e-4")
        if field in changes:
            raise UserError(f"clone: {field} stands twice")
        changes[field] = parse_yaml(value, field)
    return changes
