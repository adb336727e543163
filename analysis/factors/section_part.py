"""A part of the section "What mattered"."""

from typing import NamedTuple

import pandas as pd

NAMED_FACTORS = 3
"""Factors that the sentences name; the tables have them all."""


class SectionPart(NamedTuple):
    """What one question of the section is answered with.

    Attributes:
        frame: printable strings, one row per number that is told.
        notes: what the numbers mean and what cannot be told, one sentence or two each.
        sentences: what the numbers show; each names its numbers and its test.
    """

    frame: pd.DataFrame
    notes: list[str]
    sentences: list[str]
