"""Tokens as text while they come: the same letters, in the end, as all tokens decoded at once."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HALF_A_LETTER = "\N{REPLACEMENT CHARACTER}"


def pieces(tokens: Iterable[int], tokenizer: "PreTrainedTokenizerBase", stop: str) -> Iterator[str]:
    """The text of tokens piece by piece, without space around it, up to where `stop` begins ("": nowhere).

    What may be the beginning of `stop`, or space at the end, is held back until it is told which.
    """
    held, begun = "", False
    for letters in _decoded(tokens, tokenizer):
        held += letters if begun else letters.lstrip()
        if stop and stop in held:
            held = held.partition(stop)[0]
            break
        sure = len(held.rstrip())
        sure = next((at for at in range(max(0, len(held) - len(stop)), sure) if stop.startswith(held[at:])), sure)
        if sure:
            yield held[:sure]
            held, begun = held[sure:], True
    if held.strip():
        yield held.rstrip()


def _decoded(tokens: Iterable[int], tokenizer: "PreTrainedTokenizerBase") -> Iterator[str]:
    """What each token adds to the text, with time linear in their number.

    Some tokenizers write a token otherwise at the beginning of a text, so it is decoded behind the ones before it.
    """
    before: list[int] = []
    new: list[int] = []
    for token in tokens:
        new.append(token)
        known, text = tokenizer.decode(before), tokenizer.decode(before + new)
        if len(text) > len(known) and not text.endswith(HALF_A_LETTER):
            yield text[len(known) :]
            before, new = new, []
    if new:
        yield tokenizer.decode(before + new)[len(tokenizer.decode(before)) :]
