"""The demo's general text: what its base models can read, in sentences that no dialogue has.

A sentence joins two of the facts in `sweep.demo.skills`, and a paragraph is some of them. Nobody asks, nobody answers.
"""

import random

from sweep.demo.corpus import capitalised, draw_exchange
from sweep.demo.skills import SKILLS

CONJUNCTIONS = (", and ", ", but ", ", while ")
SENTENCES = (3, 6)
"""The fewest and the most sentences of a paragraph."""


def make_paragraphs(seed: int, count: int) -> list[str]:
    """Draw paragraphs; the same seed and count give the same ones."""
    rng = random.Random(f"general {seed}")
    return [" ".join(_sentence(rng) for _ in range(rng.randint(*SENTENCES))) for _ in range(count)]


def _sentence(rng: random.Random) -> str:
    first, second = (draw_exchange(rng, skill).right_answer for skill in rng.sample(SKILLS, 2))
    return f"{capitalised(first).removesuffix('.')}{rng.choice(CONJUNCTIONS)}{_in_a_sentence(second)}"


def _in_a_sentence(sentence: str) -> str:
    """A sentence as it stands within another one: its first word small, unless that is "I"."""
    return sentence if sentence.startswith("I ") else sentence[:1].lower() + sentence[1:]
