"""Errors whose message is meant for the user: printed as a single line, without a traceback."""

from pydantic_core import PydanticCustomError

PROBLEM = "problem"


class UserError(Exception):
    """Something the user can mend. The message names the thing, the value and what would be accepted."""


def problem(key: str, message: str) -> PydanticCustomError:
    """What a validator of a whole part raises about one key of it; `explain.explain` puts the part's place before."""
    return PydanticCustomError(PROBLEM, "{key}: {message}", {"key": key, "message": message})
