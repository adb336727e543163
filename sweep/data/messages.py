"""Messages of a conversation as a record holds them, with the keys and roles of OpenAI's or of ShareGPT's form."""

import json
from collections.abc import Mapping
from typing import Any

from sweep.data.records import BrokenRecordError, checked_text, shown

Message = Mapping[str, Any]

ROLES = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "bing", "bard", "model", "function_call"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function_response"), "tool"),
    **{role: role for role in ("system", "developer", "function")},
}
"""The roles in use, and what each is called in a chat template."""

_KEYS = (("role", "content"), ("from", "value"))


def is_messages(value: object) -> bool:
    """Whether a field holds a list of messages, or such a list as JSON text, as a CSV file has it."""
    if isinstance(value, str):
        return value.lstrip()[:1] == "[" and is_messages(_decoded(value))
    return isinstance(value, list) and bool(value) and is_message(value[0])


def is_message(value: object) -> bool:
    """Whether a value has the two keys of a message."""
    return isinstance(value, dict) and any(value.keys() >= set(keys) for keys in _KEYS)


def read_messages(name: str, value: object) -> tuple[Message, ...]:
    """The messages of a field, each with "role" and "content" first and its other keys as they are.

    A key that is null is left out: a table has it in every row where one row needs it. Content that is a list of text
    parts becomes their text.

    Raises:
        BrokenRecordError: no list of messages, or one that has no such role or no text.
    """
    held = _decoded(value) if isinstance(value, str) else value
    if not isinstance(held, list):
        raise BrokenRecordError(f"the field {name!r} is {shown(value)}, but a list of messages is needed")
    if not held:
        raise BrokenRecordError(f"the field {name!r} is an empty list, but messages are needed")
    return tuple(_message(f"message {number} of {name!r}", one) for number, one in enumerate(held, 1))


def refuse_unanswered(name: str, messages: tuple[Message, ...]) -> None:
    """Refuse a conversation in which the assistant says nothing.

    Raises:
        BrokenRecordError: naming the roles that are there.
    """
    roles = [message["role"] for message in messages]
    if "assistant" not in roles:
        raise BrokenRecordError(f"{name!r} has no assistant turn; its roles are {', '.join(dict.fromkeys(roles))}")
    said = (message for message in messages if message["role"] == "assistant")
    if not any((message["content"] or "").strip() or message.get("tool_calls") for message in said):
        raise BrokenRecordError(f"in {name!r} every assistant turn is blank, but an answer is needed")


def read_tools(value: object) -> tuple[Mapping[str, Any], ...]:
    """The tools that a record offers: a list of descriptions, or such a list as JSON text; none where it is null.

    Raises:
        BrokenRecordError: anything else.
    """
    held = _decoded(value) if isinstance(value, str) else value
    if held in (None, ""):
        return ()
    if not isinstance(held, list) or not all(isinstance(tool, dict) for tool in held):
        raise BrokenRecordError(f"the field 'tools' is {shown(value)}, but a list of tools is needed")
    _refuse_odd_functions("a tool of 'tools'", held)
    _checked("the field 'tools'", held)
    return tuple(held)


def _message(place: str, message: object) -> Message:
    if not is_message(message):
        there = f"a {type(message).__name__}"
        if isinstance(message, dict):
            there = f"an object with the keys {', '.join(map(repr, message)) or 'none'}"
        raise BrokenRecordError(f"{place} is {there}; accepted: 'role' and 'content', or 'from' and 'value'")
    assert isinstance(message, dict)
    role_key, content_key = next(keys for keys in _KEYS if message.keys() >= set(keys))
    role = message[role_key]
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise BrokenRecordError(f"{place} has the {role_key} {role!r}; accepted: {', '.join(ROLES)}")
    rest = {key: value for key, value in message.items() if key not in (role_key, content_key) and value is not None}
    if "tool_calls" in rest:
        rest["tool_calls"] = _tool_calls(place, rest["tool_calls"])
    _checked(place, rest)
    content = _content(f"the {content_key} of {place}", message[content_key], optional="tool_calls" in rest)
    return {"role": ROLES[role.lower()], "content": content, **rest}


def _tool_calls(place: str, value: object) -> list[dict[str, Any]]:
    """The calls of a message: a list of objects, or such a list as JSON text."""
    held = _decoded(value) if isinstance(value, str) else value
    if not isinstance(held, list) or not all(isinstance(call, dict) for call in held):
        raise BrokenRecordError(f"the tool_calls of {place} are {shown(value)}, but a list of calls is needed")
    _refuse_odd_functions(f"a call of {place}", held)
    return held


def _refuse_odd_functions(what: str, entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        if not isinstance(entry.get("function", {}), dict):
            raise BrokenRecordError(f"the function of {what} is {shown(entry['function'])}, but an object is needed")


def _checked(place: str, value: object) -> None:
    """Refuse what UTF-8 can't hold, wherever in the value it stands."""
    checked_text(place, json.dumps(value, ensure_ascii=False, default=str))


def _content(place: str, content: object, optional: bool) -> str | None:
    """The text of a message; null is one beside tool calls alone."""
    if content is None and optional:
        return None
    if isinstance(content, list):
        kinds = [str(part.get("type")) if isinstance(part, dict) else type(part).__name__ for part in content]
        if set(kinds) != {"text"}:
            there = ", ".join(dict.fromkeys(kinds)) or "none"
            raise BrokenRecordError(f"{place} has parts of type {there}; accepted: text")
        content = "".join(checked_text(place, part.get("text")) for part in content)
    return checked_text(place, content)


def _decoded(text: str) -> object:
    """What JSON text holds; the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
