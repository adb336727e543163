"""Errors whose message is meant for the user: printed as a single line, without a traceback."""

import errno
import sys

from pydantic_core import PydanticCustomError

PROBLEM = "problem"
REFUSED = "refused"
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE)
"""Errors that can come at any file, for which the program is not to blame."""


class UserError(Exception):
    """Something the user can mend. The message names the thing, the value and what would be accepted."""


class RayDiedError(Exception):
    """Ray has died or could not start, for which neither the user nor a trial is to blame. The message says how."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, as part of a line of ours; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def problem(key: str, message: str) -> PydanticCustomError:
    """What a validator of a whole part raises about one key of it; `explain.explain` puts the part's place before."""
    return PydanticCustomError(PROBLEM, "{key}: {message}", {"key": key, "message": message})


def refused(key: str, value: object) -> PydanticCustomError:
    """What a validator of a whole part raises about a value of the wrong type; `explain` says what is accepted."""
    return PydanticCustomError(REFUSED, "{key}", {"key": key, "value": value})


def is_of_the_user_or_machine(error: BaseException) -> bool:
    """Whether one line says all of an error: it is the user's to mend, and not a fault of the program."""
    if isinstance(error, UnicodeEncodeError):  # a path, under a locale that knows fewer letters than it has
        return error.encoding == sys.getfilesystemencoding() != "utf-8"
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno in OF_THE_MACHINE)


def name_failure(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, UnicodeEncodeError):
        return f"the locale's {error.encoding} can't spell {error.object!r}; set PYTHONUTF8=1"
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
