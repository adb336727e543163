"""How far the verdicts can be trusted: every doubt with its reason, and the command that would take it away."""

from collections.abc import Mapping, Sequence

from analysis.comparison.evidence import Evidence
from analysis.fairness.ledger import Ledger, ledger_beyond_tables
from analysis.tables.comparison_table import ComparisonTable
from analysis.verdict.doubts_of_data import doubts_of_data
from analysis.verdict.doubts_of_design import doubts_of_design
from analysis.verdict.summary import Level, Trust

LEVELS: tuple[Level, ...] = ("low", "medium", "high")
"""From the gravest doubt to none."""


def trust_in(evidence: Evidence, tables: Sequence[ComparisonTable], ledgers: Mapping[str, Ledger]) -> Trust:
    """List the doubts about what a sweep shows, the gravest first.

    Args:
        evidence: what the sweep's report stands on.
        tables: its tables; arms that stand in none are ranked and so give reason to doubt as well.
        ledgers: those of its tables.

    Returns:
        The trust; high where no doubt is known.
    """
    beyond = ledger_beyond_tables(evidence, tables)
    doubts = [*doubts_of_data(evidence), *doubts_of_design(evidence, ledgers, beyond)]
    ordered = sorted(doubts, key=lambda doubt: LEVELS.index(doubt.level))
    return Trust(ordered[0].level if ordered else "high", tuple(ordered))
