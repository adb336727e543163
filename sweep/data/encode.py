"""An example as tokens, and for each token who says it and how many bytes of text it stands for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sweep.data.examples import Example
from sweep.data.template import ChatTemplate, Rendered, Span

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


def encode(example: Example, template: ChatTemplate, tokenizer: "PreTrainedTokenizerBase") -> Encoded:
    """The tokens of an example, the end-of-text token being the last.

    A token that stands on both sides of a turn's beginning belongs to the turn.

    Raises:
        TemplateError: see `ChatTemplate.render`.
    """
    rendered = template.render(example, tokenizer)
    ids, spans = _tokens(rendered, tokenizer)
    return Encoded(ids, _roles(spans, rendered.answers), _sizes(rendered.text, ids, spans, tokenizer))


def _tokens(rendered: Rendered, tokenizer: "PreTrainedTokenizerBase") -> tuple[list[int], list[Span]]:
    """Token ids, and the characters that each stands for."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
        encoding = backend.encode(rendered.text, add_special_tokens=False)
        return encoding.ids, [Span(*offsets) for offsets in encoding.offsets]
    ids: list[int] = []  # a tokenizer that keeps no account of characters: piece by piece
    spans: list[Span] = []
    ends = sorted({0, len(rendered.text), *(place for answer in rendered.answers for place in answer)})
    for start, end in zip(ends, ends[1:], strict=False):
        piece: list[int] = tokenizer(rendered.text[start:end], add_special_tokens=False, verbose=False)["input_ids"]
        ids += piece
        spans += [Span(start, end)] * len(piece)
    return ids, spans


def _roles(spans: Sequence[Span], answers: Sequence[Span]) -> list[int]:
    roles = [0] * len(spans)
    place = 0
    for answer in answers:
        bits = ASSISTANT_BIT | (COMPLETION_BIT if answer is answers[-1] else 0)
        while place < len(spans) and spans[place].end <= answer.start:
            place += 1
        while place < len(spans) and spans[place].start < answer.end:
            roles[place] = bits
            place += 1
    return roles


def _sizes(text: str, ids: Sequence[int], spans: Sequence[Span], tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Bytes of text by token. Of several tokens that make one character, the first has its bytes."""
    special = set(tokenizer.all_special_ids)
    counted = 0  # characters so far
    sizes = []
    for token, span in zip(ids, spans, strict=True):
        end = max(counted, span.end)
        sizes.append(0 if token in special else len(text[counted:end].encode()))
        counted = end
    return sizes
