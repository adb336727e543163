"""From an example to the text that a model sees, and which of it an assistant says.

A text stands as it is. Pairs and conversations go through a chat template: one that the spec gives, or the
tokenizer's, or else turns as HH-RLHF marks them. Which characters are the assistant's is told by the template's
{% generation %} marks where it has some. Else what stands before a turn is rendered by itself (as for inference, with
the generation prompt), and the turn is what follows.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from basis.errors import UserError, first_line, shortened
from sweep.data.examples import Example
from sweep.data.openings import HH_ANSWER, HH_HUMAN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = Sequence[Mapping[str, Any]]

ASSISTANT = "assistant"

_BEGIN, _END = "\ue000", "\ue001"
"""Stand for the generation marks while a template is rendered; Unicode keeps them for private use."""
_GENERATION = re.compile(r"(\{%[-+]?\s*generation\s*([-+]?)%\})(\s*)")
_END_GENERATION = re.compile(r"(\s*)(\{%([-+]?)\s*endgeneration\s*[-+]?%\})")


class Span(NamedTuple):
    """Characters of a text, the end excluded."""

    start: int
    end: int


class Rendered(NamedTuple):
    """An example as a model sees it.

    Attributes:
        text: all of it, with the end-of-text token at its end.
        answers: what an assistant says, turn by turn, with the token that ends a turn.
    """

    text: str
    answers: tuple[Span, ...] = ()


class TemplateError(UserError):
    """A template that fails on an example; whoever knows which one adds it."""


@dataclass(frozen=True)
class ChatTemplate:
    """How messages become a text.

    Attributes:
        name: what messages to the user call it.
        jinja: the template as transformers takes it; None: turns as HH-RLHF marks them.
    """

    name: str
    jinja: str | None = None

    def render(self, example: Example, tokenizer: "PreTrainedTokenizerBase") -> Rendered:
        """The text of an example of any kind.

        Raises:
            TemplateError: the template refuses the messages, no turn is an assistant's, or one can't be found again.
        """
        end: str = str(tokenizer.eos_token)
        if example.kind == "text":
            return Rendered(example.text + end)
        messages = example.messages
        if not any(message["role"] == ASSISTANT for message in messages):
            raise TemplateError("no turn is an assistant's, so nothing is to be learnt from it")
        text, answers = self._with_answers(messages, example.tools, tokenizer)
        if not text.rstrip().endswith(end):
            if messages[-1]["role"] == ASSISTANT:
                text = text[: answers[-1].end] + text[answers[-1].end :].rstrip()
                answers[-1] = answers[-1]._replace(end=len(text) + len(end))
            text += end
        return Rendered(text, tuple(answers))

    def prompt(self, messages: Messages, tokenizer: "PreTrainedTokenizerBase") -> str:
        """The text that an assistant's turn behind these messages continues.

        Raises:
            TemplateError: the template refuses the messages.
        """
        return self._text(messages, (), tokenizer, answer_due=True)

    def _with_answers(
        self, messages: Messages, tools: Messages, tokenizer: "PreTrainedTokenizerBase"
    ) -> tuple[str, list[Span]]:
        text = self._text(messages, tools, tokenizer)
        if self.jinja is not None and _GENERATION.search(self.jinja):
            unmarked, answers = _marked(self._text(messages, tools, tokenizer, jinja=_with_marks(self.jinja)))
            if unmarked == text and answers:
                return text, answers
        answers = []
        for index, message in enumerate(messages):
            if message["role"] == ASSISTANT:
                before = self._text(messages[:index], tools, tokenizer, answer_due=True) if index else ""
                through = self._text(messages[: index + 1], tools, tokenizer).rstrip()
                answers.append(_answer(text, before, through, message, answers, tokenizer))
        return text, answers

    def _text(
        self,
        messages: Messages,
        tools: Messages,
        tokenizer: "PreTrainedTokenizerBase",
        *,
        answer_due: bool = False,
        jinja: str | None = None,
    ) -> str:
        if self.jinja is None:
            return "".join(_turns(messages)) + (HH_ANSWER if answer_due else "")
        try:
            text: str = tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                chat_template=jinja or self.jinja,
                add_generation_prompt=answer_due,
                tokenize=False,
            )
        except Exception as error:  # a template raises whatever it likes
            raise TemplateError(f"{self.name} fails on it: {first_line(error)}") from None
        return text


PLAIN = ChatTemplate(f"turns marked {HH_HUMAN.strip()} and {HH_ANSWER.strip()}")
"""For tokenizers without a chat template."""


def choose_template(given: str | None, tokenizer: "PreTrainedTokenizerBase") -> ChatTemplate:
    """The template that a spec gives, the tokenizer's, or the plain one."""
    if given is not None:
        return ChatTemplate("data.template", given)
    if tokenizer.chat_template is None:
        return PLAIN
    try:
        return ChatTemplate("the tokenizer's chat template", tokenizer.get_chat_template())
    except ValueError as error:  # several, and none is the default
        raise UserError(f"model.tokenizer: {first_line(error)}; data.template gives one") from None


def _turns(messages: Messages) -> Iterator[str]:
    """Messages as HH-RLHF marks them; a system prompt stands before the first turn."""
    for message in messages:
        role, content = message["role"], message.get("content")
        if not isinstance(content, str) or role not in ("system", "user", ASSISTANT):
            found = f"role {role!r}" if isinstance(content, str) else f"content {shortened(repr(content), 30)}"
            raise TemplateError(
                f"a message with {found} needs a chat template, which the tokenizer lacks; data.template gives one"
            )
        if role == "system":
            yield content.strip()
        else:
            yield f"{HH_HUMAN if role == 'user' else HH_ANSWER} {content.strip()}"


def _with_marks(jinja: str) -> str:
    """A template that leaves a character behind where it begins and ends to generate.

    transformers renders with trim_blocks and lstrip_blocks, which take whitespace beside a tag away; beside the
    character it is taken away here.
    """

    def begin(tag: re.Match[str]) -> str:
        rest = "" if tag[2] == "-" else tag[3].removeprefix("\n")
        return f'{tag[1]}{{{{ "{_BEGIN}" }}}}{rest}'

    def end(tag: re.Match[str]) -> str:
        line, newline, indent = tag[1].rpartition("\n")
        rest = "" if tag[3] == "-" else f"{line}{newline}" if newline else indent
        return f'{rest}{{{{ "{_END}" }}}}{tag[2]}'

    return _END_GENERATION.sub(end, _GENERATION.sub(begin, jinja))


def _marked(text: str) -> tuple[str, list[Span]]:
    """A text without the characters of its marks, and what stood between each pair of them."""
    answers, parts, length = [], [], 0
    for piece in re.split(f"({_BEGIN}.*?{_END})", text, flags=re.DOTALL):
        inner = piece.strip(_BEGIN + _END)
        if piece.startswith(_BEGIN):
            answers.append(Span(length, length + len(inner)))
        parts.append(inner)
        length += len(inner)
    return "".join(parts), answers


def _answer(
    text: str,
    before: str,
    through: str,
    message: Mapping[str, Any],
    earlier: Sequence[Span],
    tokenizer: "PreTrainedTokenizerBase",
) -> Span:
    """Where an assistant's turn stands in a text.

    Args:
        text: all of the example.
        before: what stands before the turn, rendered by itself. A template may render it otherwise within the whole.
        through: the same up to the end of the turn, without whitespace at its end.
        message: the turn.
        earlier: the turns of an assistant before it.
        tokenizer: whose special tokens may end a turn.
    """
    content = message.get("content")
    said = content.strip() if isinstance(content, str) else ""
    start = len(before) if text.startswith(before) else None
    if start is not None and text.startswith(through):
        return Span(start, len(through))
    at = text.find(said, start if start is not None else earlier[-1].end if earlier else 0) if said else -1
    if at < 0:
        raise TemplateError(
            f"the assistant's turn {shortened(repr(content), 40)} is not found in what the template makes"
        )
    end = at + len(said)
    ends = "|".join(map(re.escape, sorted(tokenizer.all_special_tokens, key=len, reverse=True)))
    closing = re.compile(rf"\s*(?:{ends})").match(text, end) if ends else None
    return Span(at if start is None else start, closing.end() if closing else end)
