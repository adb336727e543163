"""One example of an SFT set, whatever form it was read in: a text, a prompt with its completion, or a conversation."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from sweep.data import openings

Kind = Literal["text", "pairs", "conversations"]
"""What the examples of a set are. A set has one kind."""


class Example(NamedTuple):
    """One example.

    Attributes:
        kind: what it is.
        text: all of it, of kind "text".
        messages: of kind "pairs" a user's message and the assistant's; of kind "conversations" the messages as they
            were read. Each has a "role" and a "content", and whatever else a chat template knows.
        tools: the tools that the record offers beside a conversation, as a chat template takes them.
        prompt_messages: how many of the messages, from the first, are the prompt that the rest completes. What an
            assistant says in them is not learnt. 0 where the record does not say.
    """

    kind: Kind
    text: str = ""
    messages: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    prompt_messages: int = 0


def opening_turn(example: Example) -> str | None:
    """What the user says first, stripped, whatever stands before it; None where it can't be told."""
    if example.kind == "text":
        return openings.opening_turn(example.text)
    said = (message["content"] for message in example.messages if message["role"] == "user")
    return next((_plain(text) for text in said if text is not None), None)


def opening(example: Example) -> str:
    """What must not be on two sides of a split: the opening turn, or all of an example where none can be told."""
    turn = opening_turn(example)
    return whole_text(example) if turn is None else turn


def whole_text(example: Example) -> str:
    """All of an example as one text, in which line ends and whitespace around what is said make no difference."""
    if example.kind == "text":
        return example.text.strip()
    messages = [
        {key: _plain(value) if isinstance(value, str) else value for key, value in message.items()}
        for message in example.messages
    ]
    return json.dumps([messages, list(example.tools)] if example.tools else messages, sort_keys=True, default=str)


def identity(example: Example) -> bytes:
    """The digest of a whole example, by which it is subtracted and counted as a copy, whatever its line ends."""
    return text_digest(whole_text(example).replace("\r\n", "\n"))


def text_digest(text: str) -> bytes:
    """What two texts share when they count as the same.

    Whitespace around the text is ignored because rm-static was made by cutting HH-RLHF dialogues into prompt and answer
    and stripping the answer's end: compared byte for byte, some would escape the subtraction. A digest instead of the
    text keeps sets of some hundred thousand dialogues small.
    """
    return hashlib.blake2b(text.strip().encode(), digest_size=16).digest()


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()
