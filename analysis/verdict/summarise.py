"""Works out the first screen of a report: verdicts, how far to trust them, and the arms from best to worst."""

from collections.abc import Mapping, Sequence

from analysis.comparison.base_wins import wins_against_base
from analysis.comparison.evidence import Evidence
from analysis.factors.pareto import Front, fronts_of
from analysis.fairness.ledger import Ledger
from analysis.tables.comparison_table import ComparisonTable
from analysis.verdict.avoid import to_avoid
from analysis.verdict.leaderboard import base_losses, boards_of
from analysis.verdict.lowest_loss import lowest_loss
from analysis.verdict.ranking import rank_arms
from analysis.verdict.savings import savings
from analysis.verdict.summary import Summary, Verdict
from analysis.verdict.trust import trust_in


def summarise(
    evidence: Evidence, tables: Sequence[ComparisonTable], ledgers: Mapping[str, Ledger], fronts: Sequence[Front]
) -> Summary:
    """Work out the first screen from the comparisons that the report makes.

    Args:
        evidence: what the sweep's report stands on.
        tables: its comparison tables.
        ledgers: what speaks for and against their fairness, by their anchors.
        fronts: all finished arms by each cost and their losses; see `pareto.fronts_of`.

    Returns:
        The summary; without verdicts where no arm finished.
    """
    against_base = {one.arm.label: one for one in wins_against_base(evidence.finished, evidence.looks)}
    rankings = rank_arms(evidence, tables)
    verdicts: list[Verdict] = []
    for ranking in rankings:
        own = list(fronts) if len(rankings) == 1 else fronts_of(ranking.ranked)
        if ranking.ranked:
            verdicts.append(lowest_loss(evidence, ranking, against_base))
            verdicts += savings(ranking, own, evidence.looks, base_losses(evidence, ranking))
        verdicts += to_avoid(evidence.results, ranking, own, evidence.looks)
    return Summary(
        verdicts=tuple(verdicts),
        trust=trust_in(evidence, tables, ledgers),
        boards=boards_of(evidence, tables, rankings, against_base),
    )
