"""An example as tokens: which of them belong to the assistant, and how many bytes of text each stands for."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.data.examples import Example
from sweep.data.template import ChatTemplate, Rendered
from sweep.data.tokenizer import begin_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ASSISTANT = 1
"""The bit of a token's role that says: of an assistant's turn."""

COMPLETION = 2
"""The bit that says: of the last assistant's turn, which is all of a pair's completion."""

Numbers = npt.NDArray[np.int64]


class Encoded(NamedTuple):
    """An example's tokens, (tokens,) each.

    Attributes:
        ids: token ids, the end-of-text token among them.
        roles: of kinds "pairs" and "conversations" the bits ASSISTANT and COMPLETION; of a text zeros.
        bytes: how many bytes of UTF-8 text each stands for; 0 of special tokens, and of the white space around what an
            assistant says, which is the template's. So an answer has as many bytes for every tokenizer and template.
    """

    ids: list[int]
    roles: npt.NDArray[np.uint8]
    bytes: Numbers


class Encoder:
    """Turns examples into tokens. Texts begin as their tokenizer begins them; messages as their template does.

    A fast tokenizer's own backend is called, without the masks and copies that transformers adds around it; the tokens
    are the same. It gets one example at a time: given many, it starts a thread per core, each of which keeps several
    megabytes, and which Ray, forking its processes later, would inherit in an unknown state.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", template: ChatTemplate) -> None:
        """Take a tokenizer with an end-of-text token, and the template of examples that are no texts."""
        self._tokenizer = tokenizer
        self._template = template
        self._begin = begin_tokens(tokenizer)
        self._end_id: int = tokenizer.eos_token_id
        self._end_token = str(tokenizer.eos_token)
        added = (id for id, token in tokenizer.added_tokens_decoder.items() if token.special)
        self._special = np.array(sorted({*added, *tokenizer.all_special_ids}), np.int64)
        self._special_text = re.compile("|".join(map(re.escape, template.special_tokens)))
        self._backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        if self._backend is not None:
            self._backend.no_truncation()
            self._backend.no_padding()

    def text_ids(self, text: str) -> list[int]:
        """The tokens of a text and the end-of-text token, without roles and bytes: those cost time."""
        if self._backend is None:
            return [*self._begin, *self._slow_ids(text), self._end_id]
        return [*self._begin, *self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids, self._end_id]

    def encode(self, example: Example) -> Encoded:
        """An example's tokens with their roles and bytes.

        Raises:
            UserError: no template renders it, or it has no assistant turn.
        """
        if example.kind == "text":
            rendered = Rendered(example.text + self._end_token, ())
        else:
            rendered = self._template.render(example)
        ids, first, last = self._tokens(rendered)
        if example.kind == "text" and self._begin:  # a template writes it itself
            ids = [*self._begin, *ids]
            first, last = (np.concatenate((np.zeros(len(self._begin), np.int64), ends)) for ends in (first, last))
        special = np.isin(ids, self._special)
        covered = np.maximum.accumulate(np.concatenate(([0], last)))
        # A tokenizer may leave whitespace out of a word's offsets; it belongs to the token behind it.
        begins = np.where(special, first, np.minimum(first, covered[:-1]))
        roles = np.zeros(len(ids), np.uint8)
        for number, (start, end) in enumerate(rendered.spans):
            bits = ASSISTANT | COMPLETION if number == len(rendered.spans) - 1 else ASSISTANT
            roles[(last > start) & (begins < end)] |= bits
        return Encoded(ids, roles, _bytes_of(rendered.text, first, covered, special, self._margins(rendered)))

    def _margins(self, rendered: Rendered) -> list[tuple[int, int]]:
        """First and last + 1 character of what is no word of an assistant's, at both ends of each of its turns."""
        margins = []
        for start, end in rendered.spans:
            turn = rendered.text[start:end]
            end_token = next((token for token in self._template.special_tokens if turn.endswith(token)), "")
            words = turn.removesuffix(end_token).strip()
            first = start + turn.find(words)
            margins += [(start, first), (first + len(words), end)]
        return margins

    def _tokens(self, rendered: Rendered) -> tuple[list[int], Numbers, Numbers]:
        """Token ids, and the first and last + 1 character of each."""
        body = rendered.text.removesuffix(self._end_token)
        if self._backend is not None:
            encoding = self._backend.encode_batch([body], add_special_tokens=False)[0]
            ids, places = encoding.ids, list(encoding.offsets)
        else:
            ids, places = self._segments(body, rendered.spans)
        if len(body) < len(rendered.text):
            ids, places = [*ids, self._end_id], [*places, (len(body), len(rendered.text))]
        bounds = np.array(places, np.int64).reshape(-1, 2)
        return ids, bounds[:, 0], bounds[:, 1]

    def _segments(self, text: str, spans: tuple[tuple[int, int], ...]) -> tuple[list[int], list[tuple[int, int]]]:
        """A slow tokenizer gives no offsets: turns, special tokens and what lies between are tokenised apart."""
        special = [match.span() for match in self._special_text.finditer(text)]
        cuts = sorted({0, len(text), *(min(place, len(text)) for span in (*spans, *special) for place in span)})
        ids: list[int] = []
        places: list[tuple[int, int]] = []
        for start, end in pairwise(cuts):
            of_segment = self._slow_ids(text[start:end])
            ids += of_segment
            places += [(start, end)] * len(of_segment)
        return ids, places

    def _slow_ids(self, text: str) -> list[int]:
        # verbose=False: that an example is longer than the model's context is no news, it is cut later
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return ids


def _bytes_of(
    text: str,
    first: Numbers,
    covered: Numbers,
    special: npt.NDArray[np.bool_],
    margins: Sequence[tuple[int, int]],
) -> Numbers:
    """The bytes of text of each token: of what it covers first, since a character may be spread over several tokens.

    What a tokenizer leaves out before a special token counts for the token before that one. Characters in `margins`
    count for none.
    """
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    lengths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    for start, end in margins:
        lengths[start:end] = 0
    before = np.zeros(len(points) + 1, np.int64)  # bytes before each character
    np.cumsum(lengths, out=before[1:])
    numbers: Numbers = np.diff(before[covered])
    for token in np.flatnonzero(special):
        left_out = max(0, int(before[first[token]] - before[covered[token]]))
        ordinary = np.flatnonzero(~special[:token])
        if left_out and ordinary.size:
            numbers[ordinary[-1]] += left_out
        numbers[token] = 0
    return numbers
