"""The template that a spec gives for messages: its text, a file with it, or the name of ours."""

from typing import Annotated

from pydantic import ValidationInfo

from basis.errors import UserError
from sweep.schema.places import beside_of, checked, expand, looked_from
from sweep.trial.part import AcceptedWords

TURNS_NAME = "turns"
"""How a spec calls our template, `sweep.data.template.TURNS`."""

_ACCEPTED = f"a jinja template, a file with one, or {TURNS_NAME!r}"


def _template_text(given: str, info: ValidationInfo) -> str:
    """The template itself, so that an experiment keeps it whatever becomes of its file."""
    if given == TURNS_NAME or "{{" in given or "{%" in given:
        return given
    try:
        return expand(given).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # also of a name with a NUL, and of what is not UTF-8
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        looked = looked_from(given, beside_of(given, info))
        raise UserError(f"{given!r} can't be read ({why}){looked}; accepted: {_ACCEPTED}") from None


ChatTemplateText = Annotated[str, checked(_template_text), AcceptedWords(_ACCEPTED)]
