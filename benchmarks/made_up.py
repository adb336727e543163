"""Makes dialogues of made-up words and a tokenizer for them, in the sizes of real data and without a network."""

import itertools
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import ByteLevelBPETokenizer, Tokenizer
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"


def dialogues(count: int, words: int = 160, seed: int = 0) -> list[str]:
    """Make dialogues of four turns. Words are as unevenly frequent as in a language (Zipf's law).

    Args:
        count: how many dialogues.
        words: about how many words each has.
        seed: the same seed gives the same dialogues.
    """
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
    """Write each text as a line of JSON, {"chosen": text}."""
    path.write_text("".join(json.dumps({"chosen": text}) + "\n" for text in texts), encoding="utf-8")


def write_tokenizer(folder: Path, texts: Sequence[str], vocabulary: int) -> None:
    """Train a byte-level BPE, as GPT-2 has one, on `texts`, and save it as a Hugging Face fast tokenizer.

    Args:
        folder: where it is saved.
        texts: what it is trained on.
        vocabulary: the number of its tokens.
    """
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocab_size=vocabulary, special_tokens=[END_OF_TEXT], show_progress=False)
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(bpe.to_str()),
        eos_token=END_OF_TEXT,
        bos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
    ).save_pretrained(folder)


def sweep_spec(
    folder: Path, name: str, shape: Mapping[str, int], trial: Mapping[str, int], space: Mapping[str, Any], cpus: float
) -> dict[str, Any]:
    """The spec of a sweep of GPT-2s with random weights, on what `write_dialogues` and `write_tokenizer` have written.

    Args:
        folder: which holds dialogues.jsonl and tokenizer.
        name: of the sweep.
        shape: of the model, with the tokenizer's number of tokens.
        trial: the spec's part of that name.
        space: likewise.
        cpus: that each trial gets.
    """
    return {
        "name": name,
        "about": "small trials",
        "model": {
            "name": "gpt2",
            "init": "random",
            "shape": dict(shape),
            "tokenizer": str(folder / "tokenizer"),
        },
        "data": {"train": str(folder / "dialogues.jsonl"), "test": [], "exclude": []},
        "trial": dict(trial),
        "space": dict(space),
        "reward": {"model": None},
        "resources": {"cpu": cpus},
    }


def _lexicon(draw: random.Random, words: int) -> list[str]:
    """Draw different words of one to four syllables. Short ones come first, since frequent words are short."""
    syllables = [first + vowel + last for first in "bcdfghklmnprstvw" for vowel in "aeiou" for last in ("", "n", "st")]
    found: dict[str, None] = {}
    for number in range(words):
        count = 1 + (number > 100) + (number > 2000) + (number > 15_000)
        word = "".join(draw.choices(syllables, k=count))
        while word in found:
            word += draw.choice(syllables)
        found[word] = None
    return list(found)
