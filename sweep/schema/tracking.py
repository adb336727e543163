"""Where a spec has its trials tracked, and who is told how the sweep goes."""

import os
import re
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainSerializer
from pydantic_core import PydanticCustomError

from basis.errors import SECRET, UserError
from sweep.trial.part import AcceptedWords

Tracker = Literal["tensorboard", "mlflow", "wandb", "trackio"]
TRACKERS: tuple[Tracker, ...] = get_args(Tracker)

NOTIFY_VARIABLE = "SFT_NOTIFY_URL"
"""The variable that a sweep asks for its URL when it goes on, where its spec had the URL itself."""

_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_ACCEPTED = "accepted: an http or https URL, or $NAME of an environment variable that holds one"


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(dict.fromkeys(value)) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value


Trackers = Annotated[
    tuple[Tracker, ...],
    BeforeValidator(_listed),
    AcceptedWords(f"one of {', '.join(TRACKERS)}, or a list of them; [] for none"),
]


def _checked(value: Any) -> Any:
    """The value as it stands; no message repeats it, for it may be a secret."""
    if value is None or (isinstance(value, str) and (_VARIABLE.fullmatch(value) or not flaw_of_url(value))):
        return value
    flaw = flaw_of_url(value) if isinstance(value, str) else "no text"
    raise PydanticCustomError(SECRET, "{flaw}; {accepted}", {"flaw": flaw, "accepted": _ACCEPTED})


def flaw_of_url(url: str) -> str | None:
    """What keeps a URL from being posted to, without the URL itself; None: nothing."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in ("http", "https") or not host:
        return "not a URL of http or https"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "a URL with letters that must be written as %XX"
    return None


def _kept(value: str | None) -> str | None:
    """What files have of it: the name of a variable, never a URL."""
    return value if value is None or _VARIABLE.fullmatch(value) else f"${NOTIFY_VARIABLE}"


Notify = Annotated[
    str | None,
    BeforeValidator(_checked),
    PlainSerializer(_kept, return_type=str | None),
    AcceptedWords("a URL of http or https, or $NAME of a variable that holds one"),
]
"""Whatever is written of a spec has the name of a variable in place of a URL, which may be a secret."""


def notify_variable(notify: str | None) -> str | None:
    """The environment variable that holds the URL; None: the spec has none, or the URL itself."""
    named = _VARIABLE.fullmatch(notify or "")
    return named[1] if named else None


def notify_url(notify: str | None) -> str | None:
    """The URL to post to; None: none is asked for.

    Raises:
        UserError: the variable that is to hold it is not set, or holds no URL.
    """
    if (name := notify_variable(notify)) is None:
        return notify
    url = os.environ.get(name, "").strip()
    if not url:
        raise UserError(f"notify: ${name} is not set, so nobody is told how the sweep ends; set it to a URL")
    if flaw := flaw_of_url(url):
        raise UserError(f"notify: ${name} holds {flaw}, so nobody is told how the sweep ends")
    return url
