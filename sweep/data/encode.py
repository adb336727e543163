"""An example as tokens, and for each token who says it and how many bytes of text it stands for."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sweep.data.examples import Example
from sweep.data.template import ChatTemplate, Rendered, Span
from sweep.data.tokenizer import begin_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ASSISTANT_BIT = 1
"""Of a token's role: an assistant says it."""
COMPLETION_BIT = 2
"""Of a token's role: it belongs to the last of an assistant's turns."""


class Encoded(NamedTuple):
    """An example as tokens, n of them.

    Attributes:
        ids: token ids.
        roles: ASSISTANT_BIT and COMPLETION_BIT of each token, or 0; all 0 for a text.
        sizes: bytes of text, in UTF-8, that each token stands for; 0 for special tokens.
    """

    ids: list[int]
    roles: list[int]
    sizes: list[int]


class Encoder:
    """Makes examples tokens.

    Args:
        template: how messages become text.
        tokenizer: any of transformers, with an end-of-text token.
        sizes: whether bytes by token are wanted, which takes longer; else they are 0.
    """

    def __init__(self, template: ChatTemplate, tokenizer: "PreTrainedTokenizerBase", *, sizes: bool = True) -> None:
        self._template, self._tokenizer, self._wants_sizes = template, tokenizer, sizes
        self._begin = begin_tokens(tokenizer)
        self._special = frozenset(tokenizer.all_special_ids)
        self._backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        if self._backend is not None:
            self._backend.no_truncation()
            self._backend.no_padding()

    def encode(self, example: Example) -> Encoded:
        """The tokens of an example, which the end-of-text token closes.

        A token that stands on both sides of a turn's beginning belongs to the turn. A text is opened by the token with
        which its tokenizer opens texts, if it has one.

        Raises:
            TemplateError: see `ChatTemplate.render`.
        """
        if example.kind == "text":
            return self._encode_text(example.text)
        rendered = self._template.render(example, self._tokenizer)
        ids, spans = self._tokens(rendered)
        return Encoded(ids, _roles(spans, rendered.answers), self._sizes(rendered.text, ids, spans))

    def _encode_text(self, text: str) -> Encoded:
        end: int = self._tokenizer.eos_token_id
        if self._backend is not None and not self._wants_sizes:  # twice as fast as with what stands where
            ids = self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids
            sizes = [0] * len(ids)
        else:
            ids, spans = self._tokens(Rendered(text))
            sizes = self._sizes(text, ids, spans)
        ids = [*self._begin, *ids, end]
        return Encoded(ids, [0] * len(ids), [*(0 for _ in self._begin), *sizes, 0])

    def _tokens(self, rendered: Rendered) -> tuple[list[int], list[Span]]:
        """Token ids, and the characters that each stands for."""
        if self._backend is not None:
            encoding = self._backend.encode(rendered.text, add_special_tokens=False)
            return encoding.ids, [Span(*offsets) for offsets in encoding.offsets]
        ids: list[int] = []  # a tokenizer that keeps no account of characters: piece by piece
        spans: list[Span] = []
        ends = sorted({0, len(rendered.text), *(place for answer in rendered.answers for place in answer)})
        for start, end in itertools.pairwise(ends):
            # verbose=False: that an example is longer than the model's context is no news, windows are cut later
            piece: list[int] = self._tokenizer(
                rendered.text[start:end], add_special_tokens=False, truncation=False, verbose=False
            )["input_ids"]
            ids += piece
            spans += [Span(start, end)] * len(piece)
        return ids, spans

    def _sizes(self, text: str, ids: Sequence[int], spans: Sequence[Span]) -> list[int]:
        """Bytes of text by token. Of several tokens that make one character, the first has its bytes."""
        if not self._wants_sizes:
            return [0] * len(ids)
        counted = 0  # characters so far
        sizes = []
        for token, span in zip(ids, spans, strict=True):
            end = max(counted, span.end)
            sizes.append(0 if token in self._special else len(text[counted:end].encode()))
            counted = end
        return sizes


def _roles(spans: Sequence[Span], answers: Sequence[Span]) -> list[int]:
    roles = [0] * len(spans)
    place = 0
    for number, answer in enumerate(answers, 1):
        bits = ASSISTANT_BIT | (COMPLETION_BIT if number == len(answers) else 0)
        while place < len(spans) and spans[place].end <= answer.start:
            place += 1
        while place < len(spans) and spans[place].start < answer.end:
            roles[place] = bits
            place += 1
    return roles
