"""Where on the page each finding is told, and what a ledger's entries are called in a few words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.fairness.ledger import Ledger
from analysis.findings.finding import Finding
from analysis.findings.what_it_shows import AGAINST_BASE, BASIS
from analysis.page.content import DAMAGED, MATTERED, Content

LONGEST_NAME = 70
"""Characters of an entry's name."""


@dataclass(frozen=True)
class Told:
    """The findings of a report by where the page tells them: each in one place.

    Attributes:
        damaged: what of the directory cannot be read; never folded away.
        basis: what everything else rests on, below how far to trust it.
        by_base: the arms against the base model, below the verdict on the lowest loss.
        mattered: which factor mattered, in the section of that name.
        by_table: what each comparison table shows, by its title.
        others: findings with no such place.
    """

    damaged: Sequence[str]
    basis: Sequence[str]
    by_base: Sequence[str]
    mattered: Sequence[str]
    by_table: dict[str, Sequence[str]]
    others: Sequence[Finding]


def told_of(content: Content) -> Told:
    """The findings of a report by where they are told."""
    titles = {table.title for table in content.tables}
    placed: dict[str, Sequence[str]] = {}
    others = []
    for finding in content.findings:
        if finding.topic in placed or finding.topic not in (DAMAGED, BASIS, AGAINST_BASE, MATTERED, *titles):
            others.append(finding)
        else:
            placed[finding.topic] = finding.sentences
    damaged, basis, by_base, mattered = (placed.pop(topic, ()) for topic in (DAMAGED, BASIS, AGAINST_BASE, MATTERED))
    return Told(damaged, basis, by_base, mattered, placed, others)


def entry_names(ledger: Ledger) -> list[str]:
    """The confounds and flags of a ledger, each in a few words, such as "lr" and "One seed stands behind every row"."""
    return [_entry_name(entry) for entry in (*ledger.confounds, *ledger.flags)]


def _entry_name(entry: str) -> str:
    """What an entry is about: what stands before its first colon, comma or full stop, cut at a word."""
    name = re.split(r"[:;,](?=\s)|\.(?=\s|$)", entry, maxsplit=1)[0]
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME].rsplit(' ', 1)[0]} …"
