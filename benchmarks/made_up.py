"""Dialogues of made-up words and a tokenizer for them: the benchmarks need the sizes of real data, and no network."""

import itertools
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import ByteLevelBPETokenizer, Tokenizer
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"


def dialogues(count: int, words: int = 160, seed: int = 0) -> list[str]:
    """Dialogues of four turns and about `words` words, which are as unevenly frequent as a language's (Zipf's law)."""
    draw = random.Random(seed)
    lexicon = _lexicon(draw, 30_000)
    cumulated = list(itertools.accumulate(1 / rank for rank in range(1, len(lexicon) + 1)))
    texts = []
    for _ in range(count):
        length = max(8, round(draw.gauss(words, words / 8)))
        drawn = draw.choices(lexicon, cum_weights=cumulated, k=length)
        quarter = length // 4
        turns = (drawn[:quarter], drawn[quarter : 2 * quarter], drawn[2 * quarter : 3 * quarter], drawn[3 * quarter :])
        speakers = ("Human", "Assistant", "Human", "Assistant")
        texts.append("".join(f"\n\n{who}: {' '.join(turn)}." for who, turn in zip(speakers, turns, strict=True)))
    return texts


def write_dialogues(path: Path, texts: Iterable[str]) -> None:
    """One record {"chosen": text} a line."""
    path.write_text("".join(json.dumps({"chosen": text}) + "\n" for text in texts), encoding="utf-8")


def write_tokenizer(folder: Path, texts: Sequence[str], vocabulary: int) -> None:
    """Train a byte-level BPE, GPT-2's kind, on `texts`, and keep it as a Hugging Face fast tokenizer."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=vocabulary, special_tokens=[END_OF_TEXT], show_progress=False)
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(bpe.to_str()),
        eos_token=END_OF_TEXT,
        bos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
    ).save_pretrained(folder)


def _lexicon(draw: random.Random, words: int) -> list[str]:
    """Different words of one to four syllables, short ones first, as frequent words are."""
    syllables = [first + vowel + last for first in "bcdfghklmnprstvw" for vowel in "aeiou" for last in ("", "n", "st")]
    found: dict[str, None] = {}
    for number in range(words):
        count = 1 + (number > 100) + (number > 2000) + (number > 15_000)
        word = "".join(draw.choices(syllables, k=count))
        while word in found:
            word += draw.choice(syllables)
        found[word] = None
    return list(found)
