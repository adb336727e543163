"""The forms in which an SFT set is published, each known by the fields of its records, and what an example of each is.

The fields are those that their publishers and TRL (docs, dataset formats) use. Of two forms whose fields a record has,
the first one counts; a text in `chosen` comes first, for it is what the study read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from basis.errors import shortened
from sweep.data.examples import Example, Kind
from sweep.data.messages import Message, is_message, is_messages, read_messages, read_tools, refuse_unanswered
from sweep.data.records import PROMPT, WHOLE_FIELD, BrokenRecordError, Made, checked_text, dialogue_text, text_field
from sweep.schema.data import COLUMNS

CHOSEN, COMPLETION = "chosen", "completion"


class Form(NamedTuple):
    """A form of records.

    Attributes:
        name: what statistics call it.
        shown: what follows "12,431 conversations" in a sentence.
        kind: what its examples are.
        fields: those that every record has.
    """

    name: str
    shown: str
    kind: Kind
    fields: tuple[str, ...]


HH_RLHF = Form("chosen", "in the field chosen, as of HH-RLHF", "text", (CHOSEN,))
MESSAGES = Form("messages", "in OpenAI messages", "conversations", ("messages",))
SHAREGPT = Form("conversations", "in ShareGPT's form", "conversations", ("conversations",))
PREFERENCES = Form("chosen_messages", "in the messages of chosen", "conversations", (CHOSEN,))
ALPACA = Form("alpaca", "in Alpaca's form", "pairs", ("instruction", "output"))
COMPLETIONS = Form("completion", "of prompt and completion", "pairs", (PROMPT, COMPLETION))
MESSAGES_COMPLETED = Form(
    "completion_messages", "in the messages of prompt and completion", "conversations", (PROMPT, COMPLETION)
)
ANSWERS = Form("answer", "of question and answer", "pairs", ("question", "answer"))
TEXT = Form("text", "in the field text", "text", (WHOLE_FIELD,))
NAMED_FIELD = Form("field", "in the field that data.field names", "text", ())

RECOGNISED = (HH_RLHF, MESSAGES, SHAREGPT, PREFERENCES, ALPACA, COMPLETIONS, MESSAGES_COMPLETED, ANSWERS, TEXT)
FORMS = {form.name: form for form in (*RECOGNISED, NAMED_FIELD)}
ACCEPTED = "messages, conversations, chosen, instruction + output, prompt + completion, question + answer, text"

_COMPLETED = (COMPLETIONS, MESSAGES_COMPLETED)
_OTHER_ANSWERS = ("response", "answer", "output", "completion", "solution", "reply")


@dataclass(frozen=True)
class Reading:
    """How the records of an SFT set are read.

    Attributes:
        columns: our name of a field to the records' name of it.
        field: the field that holds a dialogue's text, see `records.dialogue_text`; None: the form is recognised.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    field: str | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a record that may be read, of which a table need not hold all."""
        if self.field is not None:
            return tuple(dict.fromkeys((PROMPT, self.field)))
        return tuple(dict.fromkeys((*COLUMNS, *self.columns.values())))


class Read(NamedTuple):
    """An example, the form of its record, and how its text was made."""

    example: Example
    form: Form
    made: Made = "whole"


def read_record(record: object, reading: Reading) -> Read:
    """The example that a record holds.

    Raises:
        BrokenRecordError: its form is not recognised, or something is wrong in it.
    """
    if not isinstance(record, dict):
        needed = "a record" if reading.field is None else f"a record with a field {reading.field!r}"
        raise BrokenRecordError(f"a {type(record).__name__} where {needed} is needed")
    if reading.field is not None:
        _refuse_messages(record, reading.field)
        text, made = dialogue_text(record, reading.field)
        return Read(Example("text", text), HH_RLHF if reading.field == CHOSEN else NAMED_FIELD, made)
    renamed = _renamed(record, reading.columns)
    form = _form_of(renamed, reading.columns)
    if form is HH_RLHF:
        text, made = dialogue_text(renamed, CHOSEN)
        return Read(Example("text", text), form, made)
    if form is TEXT:
        return Read(Example("text", text_field(renamed, WHOLE_FIELD)), form)
    return Read(_with_messages(renamed, form), form)


def _form_of(record: Mapping[str, Any], columns: Mapping[str, str]) -> Form:
    """The form of a record; of one with nulls, the form that its fields would have."""
    candidates = [form for form in RECOGNISED if columns.keys() & set(form.fields)] or RECOGNISED
    for present in ({name for name, value in record.items() if value is not None}, record.keys()):
        for form in candidates:
            if present >= set(form.fields) and _fits(form, record):
                return form
    raise BrokenRecordError(
        f"no form is recognised by the fields {shortened(', '.join(map(repr, record)) or 'none', 60)}; "
        f"accepted: {ACCEPTED}, or data.columns: {_columns_for(record)}"
    )


def _fits(form: Form, record: Mapping[str, Any]) -> bool:
    """Whether the fields that two forms share hold what this one has in them: texts, or messages."""
    shared = (CHOSEN,) if form in (HH_RLHF, PREFERENCES) else form.fields if form in _COMPLETED else ()
    hold_messages = any(is_messages(record[name]) for name in shared)
    return not shared or hold_messages == (form.kind == "conversations")


def _renamed(record: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The record by our names of its fields."""
    for ours, theirs in columns.items():
        if theirs not in record and any(ours in form.fields for form in RECOGNISED):
            there = ", ".join(map(repr, record)) or "none"
            raise BrokenRecordError(
                f"no field {theirs!r}, which data.columns.{ours} names; the fields there are {there}"
            )
    rest = {name: value for name, value in record.items() if name not in columns.values()}
    return rest | {ours: record[theirs] for ours, theirs in columns.items() if theirs in record}


def _with_messages(record: Mapping[str, Any], form: Form) -> Example:
    if form is ALPACA:
        given = record.get("input")
        parts = (text_field(record, "instruction"), "" if given is None else text_field(record, "input"))
        return _pair("instruction", "\n\n".join(part for part in parts if part.strip()), record, "output")
    if form is ANSWERS:
        return _pair("question", text_field(record, "question"), record, "answer")
    if form is COMPLETIONS:
        return _pair(PROMPT, text_field(record, PROMPT), record, COMPLETION)
    prompt: tuple[Message, ...] = ()
    if form is MESSAGES_COMPLETED:
        prompt = _turns(PROMPT, record, "user")
        completion = _turns(COMPLETION, record, "assistant")
        refuse_unanswered(COMPLETION, completion)
        messages = prompt + completion
    else:
        name = form.fields[0]
        messages = read_messages(name, record[name])
        refuse_unanswered(name, messages)
        if form is PREFERENCES and record.get(PROMPT) and all(message["role"] != "user" for message in messages):
            prompt = _turns(PROMPT, record, "user")
            messages = prompt + messages
    system = record.get("system")
    if isinstance(system, str) and system.strip() and all(message["role"] != "system" for message in messages):
        opening = {"role": "system", "content": checked_text("the field 'system'", system)}
        messages, prompt = (opening, *messages), (opening, *prompt) if prompt else ()
    tools = read_tools(record.get("tools"))
    return Example("conversations", messages=messages, tools=tools, prompt_messages=len(prompt))


def _pair(name: str, prompt: str, record: Mapping[str, Any], answer_name: str) -> Example:
    answer = text_field(record, answer_name)
    for what, text in ((name, prompt), (answer_name, answer)):
        if not text.strip():
            raise BrokenRecordError(f"the field {what!r} is empty, but text is needed")
    return Example("pairs", messages=({"role": "user", "content": prompt}, {"role": "assistant", "content": answer}))


def _turns(name: str, record: Mapping[str, Any], role: str) -> tuple[Message, ...]:
    """The messages of a field; a text is one message of a role."""
    value = record[name]
    if isinstance(value, str) and not is_messages(value):
        return ({"role": role, "content": text_field(record, name)},)
    return read_messages(name, value)


def _refuse_messages(record: Mapping[str, Any], name: str) -> None:
    """Refuse messages where data.field says that a text is."""
    for there in (name, PROMPT):
        value = record.get(there)
        if (isinstance(value, list) and is_messages(value)) or is_message(value):
            raise BrokenRecordError(
                f"the field {there!r} holds messages, but data.field: {name} asks for text; leave data.field out"
                + ("" if there in COLUMNS else f" and write data.columns: {{messages: {there}}}")
            )


def _columns_for(record: Mapping[str, Any]) -> str:
    """What to write for a record that may have a form's fields by other names; an example where none is likely."""
    for name, value in record.items():
        if is_messages(value):
            return f"{{messages: {name}}}"
    for asked, answered in (form.fields for form in (COMPLETIONS, ALPACA, ANSWERS)):
        for name in _OTHER_ANSWERS:
            if asked in record and isinstance(record.get(name), str):
                return f"{{{answered}: {name}}}"
    return "{prompt: q, completion: a}"
