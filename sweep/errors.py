"""Errors whose message is meant for the user: printed as a single line, without a traceback."""

from pydantic_core import PydanticCustomError

PROBLEM = "problem"
REFUSED = "refused"


class UserError(Exception):
    """Something the user can mend. The message names the thing, the value and what would be accepted."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, as part of a line of ours; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def problem(key: str, message: str) -> PydanticCustomError:
    """What a validator of a whole part raises about one key of it; `explain.explain` puts the part's place before."""
    return PydanticCustomError(PROBLEM, "{key}: {message}", {"key": key, "message": message})


def refused(key: str, value: object) -> PydanticCustomError:
    """What a validator of a whole part raises about a value of the wrong type; `explain` says what is accepted."""
    return PydanticCustomError(REFUSED, "{key}", {"key": key, "value": value})
