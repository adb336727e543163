"""From a record to the text of its dialogue: a field with the whole of it, or a prompt and its answer, joined."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from basis.errors import UserError, shortened
from sweep.data.openings import begins_dialogue, join

PROMPT = "prompt"
WHOLE_FIELD = "text"
"""A field of this name holds the whole text by every library's convention, whatever stands beside it."""

ECHO_WORDS = 3
"""An answer that begins with a prompt of so many words repeats it; "Hi there!" does not repeat "Hi"."""

Made = Literal["whole", "joined", "framed"]
"""How a dialogue's text came about: as it stood; an answer after its prompt; a plain question and its answer, framed
as the turns of a dialogue."""


class BrokenRecordError(UserError):
    """A record that can't be used. The message says what was found and what is accepted; who reads it adds where."""


class Unreadable(NamedTuple):
    """What stands in a file where a record should, and can't be read as one; `why` says what it is."""

    why: str


class Text(NamedTuple):
    """A dialogue's text, and how it was made."""

    text: str
    made: Made


def dialogue_text(record: Mapping[str, Any], field: str) -> Text:
    """The text of a record's dialogue.

    Where `prompt` stands beside the field, both are joined, unless the field repeats the prompt, begins as a whole
    dialogue does, or is called "text". How they are joined is told at `openings.join`.

    Args:
        record: the record, as read.
        field: the field that holds the dialogue or its answer.

    Raises:
        BrokenRecordError: no such field, or something else than text in it.
    """
    text = text_field(record, field)
    prompt = record.get(PROMPT)
    if field in (PROMPT, WHOLE_FIELD) or prompt in (None, "") or begins_dialogue(text):
        return Text(text, "whole")
    prompt = text_field(record, PROMPT)
    if not prompt.strip() or (
        text.lstrip().startswith(prompt.strip()) and (len(prompt.split()) >= ECHO_WORDS or begins_dialogue(prompt))
    ):
        return Text(text, "whole")
    joined, framed = join(prompt, text)
    return Text(joined, "framed" if framed else "joined")


def text_field(record: Mapping[str, Any], name: str) -> str:
    """The text in a field.

    Raises:
        BrokenRecordError: no such field, or something else than text in it.
    """
    if name not in record:
        raise BrokenRecordError(f"no field {name!r}; the fields there are {', '.join(map(repr, record)) or 'none'}")
    return checked_text(f"the field {name!r}", record[name])


def checked_text(what: str, value: object) -> str:
    """A value that must be text which UTF-8 can hold.

    Args:
        what: what the value is, for messages.
        value: the value.

    Raises:
        BrokenRecordError: it is something else.
    """
    if not isinstance(value, str):
        raise BrokenRecordError(f"{what} is {shown(value)}, but text is needed")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BrokenRecordError(f"{what} has half a surrogate pair, which UTF-8 can't hold") from None
    return value


def shown(value: object) -> str:
    """A value of a record in a message, cut short."""
    return "null" if value is None else shortened(repr(value), 40)
