"""From a record to the text of its dialogue: a field with the whole of it, or a prompt and its answer, joined."""

from typing import Any, Literal, NamedTuple

from basis.errors import UserError
from sweep.data.openings import begins_dialogue, join

PROMPT = "prompt"
WHOLE_FIELD = "text"
"""A field of this name holds the whole text by every library's convention, whatever stands beside it."""

ECHO_WORDS = 3
"""An answer that begins with a prompt of so many words repeats it; "Hi there!" does not repeat "Hi"."""

Made = Literal["whole", "joined", "framed"]
"""How a dialogue's text came about: as it stood; an answer after its prompt; a plain question and its answer, framed
as the turns of a dialogue."""

ACCEPTED = "accepted: a field with the dialogue's text (data.field names it), or 'prompt' and that field, both text"


class Text(NamedTuple):
    """A dialogue's text, and how it was made."""

    text: str
    made: Made


def dialogue_text(place: str, record: object, field: str) -> Text:
    """The text of a record's dialogue.

    Where `prompt` stands beside the field, both are joined, unless the field repeats the prompt, begins as a whole
    dialogue does, or is called "text". How they are joined is told at `openings.join`.

    Args:
        place: where the record stands, for messages.
        record: the record, as read.
        field: the field that holds the dialogue or its answer.

    Raises:
        UserError: no such field, or something else than text in it; names what was found and what is accepted.
    """
    if not isinstance(record, dict):
        raise UserError(f"{place}: a {type(record).__name__} where a record with a field {field!r} is needed")
    if field not in record:
        there = ", ".join(map(repr, record)) or "none"
        raise UserError(f"{place}: no field {field!r}; the fields there are {there}{_instead(record)}")
    text = _text(place, record, field)
    prompt = record.get(PROMPT)
    if field in (PROMPT, WHOLE_FIELD) or prompt in (None, "") or begins_dialogue(text):
        return Text(text, "whole")
    prompt = _text(place, record, PROMPT)
    if not prompt.strip() or (
        text.lstrip().startswith(prompt.strip()) and (len(prompt.split()) >= ECHO_WORDS or begins_dialogue(prompt))
    ):
        return Text(text, "whole")
    joined, framed = join(prompt, text)
    return Text(joined, "framed" if framed else "joined")


def _text(place: str, record: dict[str, Any], name: str) -> str:
    text = record[name]
    if not isinstance(text, str):
        form = _form(text)
        hint = f"; {ACCEPTED}" if form else ""
        raise UserError(f"{place}: the field {name!r} is {form or _short(text)}, but text is needed{hint}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{place}: the field {name!r} has half a surrogate pair, which UTF-8 can't hold") from error
    return text


def _instead(record: dict[str, Any]) -> str:
    """What to do with a record that lacks the field, by what it has."""
    for name, value in record.items():
        form = _form(value)
        if form:
            return f" ({name!r} is {form}, which is not read yet); {ACCEPTED}"
    texts = [name for name, value in record.items() if isinstance(value, str)]
    if {"instruction", "output"} <= set(texts):
        return f" (Alpaca's instruction and output, which are not read yet); {ACCEPTED}"
    for name in ("completion", "response", "answer", "output", WHOLE_FIELD):
        if name in texts:
            joined = f", which joins {PROMPT!r} and {name!r}" if PROMPT in texts and name != WHOLE_FIELD else ""
            return f"; write data.field: {name}{joined}"
    return ""


def _form(value: object) -> str:
    """The name of a list of messages; "" for anything else."""
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, dict):
        for keys in (("role", "content"), ("from", "value")):
            if first.keys() >= set(keys):
                which = "a list of messages" if isinstance(value, list) else "a message"
                return f"{which} ({', '.join(keys)})"
    return ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
