"""Messages as the text that a model sees, and where in it the assistant's turns stand.

A tokenizer's own chat template is taken, or one that the spec gives, or `TURNS` where there is neither.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from basis.errors import UserError, first_line
from sweep.data.examples import Example
from sweep.schema.chat_template import TURNS_NAME

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TURNS = (
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content }}"
    "{% elif message.role == 'user' %}{{ '\n\nHuman: ' + message.content }}"
    "{% elif message.role == 'assistant' %}{{ '\n\nAssistant: ' + message.content }}"
    "{% else %}{{ raise_exception('role ' + message.role + ' has no place in it') }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '\n\nAssistant:' }}{% endif %}"
)
"""The template of HH-RLHF's texts and of `reward.template`: plain text, so that any tokenizer can read it."""

TEMPLATE_DATE = datetime.datetime(2024, 7, 26)
"""The day that every template is told, so that tokens do not depend on the day of a run.

It is the date that Llama 3's templates take where the renderer tells none.
"""

_DATE_CODES = [f"%{flag}{code}" for code in "aAbBcCdDeFGHIjmMpSTuUVwWxXyYzZ" for flag in ("", "-")]
_FIXED_DATE = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace({code!r}, {TEMPLATE_DATE.strftime(code)!r})" for code in _DATE_CODES)
    + " }}{% endmacro %}"
)
"""Put before a template, it hides transformers' function of this name. Of arguments transformers takes no functions."""

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_THOUGHT_END = "</think>"

Message = Mapping[str, Any]


class Rendered(NamedTuple):
    """A text as the model sees it.

    Attributes:
        text: all of it, the end-of-text token included.
        spans: first and last + 1 character of each assistant turn that may be learnt, in order; a token that ends the
            turn belongs to it.
    """

    text: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class ChatTemplate:
    """How messages become text.

    Attributes:
        tokenizer: what renders, and whose special tokens end turns.
        jinja: the template; None: the tokenizer's own.
        name: what messages call it.
    """

    tokenizer: "PreTrainedTokenizerBase"
    jinja: str | None
    name: str

    def prompt(self, messages: Sequence[Message], tools: Sequence[Message] = ()) -> str:
        """Messages up to where an assistant's answer begins.

        Raises:
            UserError: the template fails on them.
        """
        return self._text(messages, tools, answer_follows=True)

    def render(self, example: Example) -> Rendered:
        """A pair or a conversation as text.

        Returns:
            Its text, closed by the end-of-text token, and the assistant's turns in it, without those of a prompt.

        Raises:
            UserError: no assistant turn, the template fails on it, or does not show where a turn stands.
        """
        messages = [_with_content(message) for message in example.messages]
        turns = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        if not turns:
            roles = ", ".join(dict.fromkeys(str(message["role"]) for message in messages))
            raise UserError(f"it has no assistant turn, so nothing to learn; its roles are {roles}")
        if _GENERATION.search(self._source(example.tools)):
            text, spans = self._marked(messages, example.tools)
        else:
            text = self._text(messages, example.tools)
            spans = self._turns_in(text, messages, example.tools, turns)
        self._check_tools(text, example)
        # A template may mark fewer turns than there are; the last ones are the completion's all the same.
        completion = sum(number >= example.prompt_messages for number in turns)
        return self._closed(text, spans[-completion:])

    def _check_tools(self, text: str, example: Example) -> None:
        """Refuse a template that leaves out the tools that are offered, or a call: the model would learn silence."""
        calls = (call for message in example.messages for call in message.get("tool_calls") or ())
        for what, entries in (("the tool", example.tools), ("the call of the tool", calls)):
            for entry in entries:
                name = entry.get("function", entry).get("name")
                if isinstance(name, str) and name not in text:
                    raise UserError(f"{self.name} leaves out {what} {name!r}; data.template gives one with tools")

    def _text(self, messages: Sequence[Message], tools: Sequence[Message], answer_follows: bool = False) -> str:
        from jinja2 import TemplateError

        try:
            text: str = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                chat_template=self._source(tools),
                add_generation_prompt=answer_follows,
                tokenize=False,
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:  # what a template's expressions raise
            raise UserError(f"{self.name} fails on it: {first_line(error)}") from error
        return text

    def _source(self, tools: Sequence[Message]) -> str:
        """The template's own text, with a fixed date where it asks for one."""
        source: str = self.tokenizer.get_chat_template(self.jinja, [dict(tool) for tool in tools] or None)
        return _FIXED_DATE + source if "strftime_now" in source else source

    def _marked(self, messages: Sequence[Message], tools: Sequence[Message]) -> tuple[str, list[tuple[int, int]]]:
        """Text and turns by the template's {% generation %} marks."""
        from transformers.utils.chat_template_utils import render_jinja_template

        self._text(messages, tools)  # fails as the plain rendering does
        texts, spans = render_jinja_template(
            [[{key: value for key, value in message.items() if value is not None} for message in messages]],
            tools=[dict(tool) for tool in tools] or None,
            chat_template=self._source(tools),
            return_assistant_tokens_mask=True,
            **self.tokenizer.special_tokens_map,
        )
        if not spans[0]:
            raise UserError(f"{self.name} marks no assistant turn of it with {{% generation %}}")
        return texts[0], [(start, self._behind_end_token(texts[0], end)) for start, end in spans[0]]

    def _turns_in(
        self, text: str, messages: Sequence[Message], tools: Sequence[Message], turns: Sequence[int]
    ) -> list[tuple[int, int]]:
        """Where assistant turns stand in the text of all messages.

        A turn begins where the prompt before it ends, and ends where the text of the messages up to it does. Where a
        template writes earlier turns in another way (Qwen3 leaves their thoughts out), its words are searched for.
        """
        spans: list[tuple[int, int]] = []
        cursor = asked = 0
        for number in turns:
            prompt = self._prefix(messages[:number], tools, answer_follows=True)
            start = len(prompt) if prompt and text.startswith(prompt) else None
            whole = text if number == len(messages) - 1 else self._prefix(messages[: number + 1], tools)
            end = None if start is None or not whole.startswith(prompt) else self._end_of(text, start, whole[start:])
            for message in messages[asked:number] if start is None else ():
                cursor = _words_in(text, message, cursor)[1]
            first, last = _words_in(text, messages[number], cursor if start is None else start)
            if first < 0 and (start is None or end is None):
                raise UserError(
                    f"{self.name} does not show where its message {number + 1}, an assistant's, begins and ends; "
                    "mark it with {% generation %} and {% endgeneration %} in data.template"
                )
            if start is None:
                start = first
            elif first >= 0 and "add_generation_prompt" not in self._source(tools):
                # Without a prompt for the answer, a heading lies between, which may hold the answer's words too.
                start = first if end is None else text.rindex(text[first:last], start, end)
            cursor = self._behind_end_token(text, last) if end is None else end
            spans.append((start, cursor))
            asked = number + 1
        return spans

    def _prefix(self, messages: Sequence[Message], tools: Sequence[Message], answer_follows: bool = False) -> str:
        """The text of the first messages alone; empty where a template wants more than them."""
        if not messages:
            return ""
        try:
            return self._text(messages, tools, answer_follows)
        except UserError:  # it took all messages together, and these are then searched for
            return ""

    def _end_of(self, text: str, start: int, turn: str) -> int | None:
        """Where a turn that begins at `start` ends in the text, if it stands there as it does alone."""
        bare = turn.rstrip()
        if not bare or not text.startswith(bare, start):
            return None
        if bare.endswith(self.special_tokens):
            return start + len(bare)
        return start + len(turn) if text.startswith(turn, start) else start + len(bare)

    def _behind_end_token(self, text: str, end: int) -> int:
        """The place behind the token that ends a turn, if one stands right at `end`."""
        if text[:end].endswith(self.special_tokens):
            return end
        return next((end + len(token) for token in self.special_tokens if text.startswith(token, end)), end)

    @cached_property
    def special_tokens(self) -> tuple[str, ...]:
        """The special tokens of the tokenizer, the longest first; one of them may end a turn."""
        added = (str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special)
        return tuple(sorted({*added, *self.tokenizer.all_special_tokens}, key=len, reverse=True))

    @cached_property
    def turn_end(self) -> str:
        """The special token that closes an assistant's turn, which is learnt with it; "" for none."""
        turns = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
        try:
            rendered = self.render(Example("pairs", messages=turns))
        except UserError:  # a template that wants other messages; what it closes turns with can't be told
            return ""
        answer = rendered.text[slice(*rendered.spans[-1])]
        return next((token for token in self.special_tokens if answer.endswith(token)), "")

    def _closed(self, text: str, spans: list[tuple[int, int]]) -> Rendered:
        """The text with an end-of-text token behind it; it belongs to an answer that it follows at once."""
        end_token = str(self.tokenizer.eos_token)
        start, end = spans[-1]
        if not text.rstrip().endswith(end_token):
            if end == len(text) and not text.endswith(self.special_tokens):
                end += len(end_token)
            text += end_token
        elif text[end:].strip() == end_token:
            end = len(text.rstrip())
        return Rendered(text, (*spans[:-1], (start, end)))


def _with_content(message: Message) -> Message:
    """A message whose content is text, as templates expect it; beside a call of a tool it is often null or missing."""
    return {**message, "content": ""} if message.get("tool_calls") and message.get("content") is None else message


def _words_in(text: str, message: Message, behind: int) -> tuple[int, int]:
    """Where a message's words stand in the text, from `behind` on: first and last + 1; (-1, behind) if nowhere."""
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    for words in (content, content.strip(), content.rpartition(_THOUGHT_END)[2].strip()):
        if words and (first := text.find(words, behind)) >= 0:
            return first, first + len(words)
    return -1, behind


def choose_template(tokenizer: "PreTrainedTokenizerBase", given: str | None) -> ChatTemplate:
    """The template that messages go through.

    Args:
        tokenizer: taken for its own template.
        given: `data.template`: the jinja text, or `TURNS_NAME`; None: the tokenizer's, or `TURNS` where it has none.

    Raises:
        UserError: what is given is no jinja template.
    """
    if given is None and tokenizer.chat_template is not None:
        return ChatTemplate(tokenizer, None, "the tokenizer's chat template")
    if given in (None, TURNS_NAME):
        return ChatTemplate(tokenizer, TURNS, f"the template {TURNS_NAME!r}")
    return ChatTemplate(tokenizer, given, "data.template")
