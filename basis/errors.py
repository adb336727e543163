"""Errors whose message is meant for the user: printed as a single line, without a traceback."""

import errno
import re
import sys
from collections.abc import Sequence

from pydantic_core import PydanticCustomError

PROBLEM = "problem"
REFUSED = "refused"
SECRET = "secret"
"""Type of what is wrong with a value that no message repeats."""
OF_THE_MACHINE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE),
)
"""Errors that can come at any file, for which the program is not to blame."""


MOST_LETTERS = 300
"""Of a message: one that is longer, as of long paths, is cut in its middle."""


class UserError(Exception):
    """Something the user can mend. The message names the thing, the value and what would be accepted, in one line."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class SpecError(UserError):
    """The mistakes of a spec, found together; a line each."""

    def __init__(self, messages: Sequence[str]) -> None:
        """`messages` are one or more, in the order in which they are told."""
        super().__init__(*messages)
        self.messages = tuple(messages)

    def __str__(self) -> str:
        return "\n".join(map(one_line, self.messages))


def one_line(message: str) -> str:
    """A message as one line of at most MOST_LETTERS letters, whatever a name or a library has put into it."""
    if not message.isprintable():
        message = "".join(one if one.isprintable() else repr(one)[1:-1] for one in message)
    for path in re.findall(r"(?:/[^/\s'\"]+){3,}", message):  # the words matter more than where all folders lie
        if len(message) <= MOST_LETTERS:
            break
        message = message.replace(path, "..." + "/".join(["", *path.split("/")[-2:]]), 1)
    return shortened(message, MOST_LETTERS)


def shown(value: object) -> str:
    """A value as YAML has it, cut short."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    except (ValueError, RecursionError):  # a number of thousands of digits, a list within itself
        return f"this {type(value).__name__}"


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and its end, `most` letters in all."""
    if len(text) <= most:
        return text
    end = min((most - 3) // 3, 100)
    return f"{text[: most - 3 - end]}...{text[len(text) - end :]}"


class RayDiedError(Exception):
    """Ray has died or could not start, for which neither the user nor a trial is to blame. The message says how."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, as part of a line of ours; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def said_by_transformers(error: BaseException) -> str:
    """What Transformers says of a model or tokenizer that it can't load, as part of a line of ours."""
    if "trust_remote_code" in str(error):
        return "it needs code of its own, which is never run; accepted: an architecture that Transformers itself has"
    return first_line(error)


def problem(key: str, message: str) -> PydanticCustomError:
    """What a validator of a whole part raises about one key of it; who explains it puts the part's place before."""
    return problems([(key, message)])


def problems(found: Sequence[tuple[str, str]]) -> PydanticCustomError:
    """As `problem`, of several keys: pairs of a key and what is wrong with it."""
    key, message = found[0]
    return PydanticCustomError(PROBLEM, "{key}: {message}", {"key": key, "message": message, "found": list(found)})


def refused(key: str, value: object) -> PydanticCustomError:
    """What a validator of a whole part raises about a value of the wrong type; `explain` says what is accepted."""
    return PydanticCustomError(REFUSED, "{key}", {"key": key, "value": value})


def is_of_the_user_or_machine(error: BaseException) -> bool:
    """Whether one line says all of an error: it is the user's to mend, and not a fault of the program."""
    if isinstance(error, UnicodeEncodeError):  # a path, under a locale that knows fewer letters than it has
        return error.encoding == sys.getfilesystemencoding() != "utf-8"
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in OF_THE_MACHINE)


def name_failure(error: BaseException) -> str:
    """What went wrong, in one line of at most MOST_LETTERS letters, or one for each of several mistakes."""
    if isinstance(error, UserError):  # a line for each of several
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, UnicodeEncodeError):
        return f"the locale's {error.encoding} can't spell {error.object!r}; set PYTHONUTF8=1"
    if isinstance(error, OSError) and error.strerror:
        return one_line(": ".join(str(part) for part in (error.filename, error.strerror) if part))
    first = next(iter(str(error).strip().splitlines()), "")
    return one_line(f"{type(error).__name__}: {first}" if first else type(error).__name__)
