"""One example of an SFT set, whatever form it was read in: a text, a prompt with its completion, or a conversation."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

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
    """

    kind: Kind
    text: str = ""
    messages: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
