"""What a fairness ledger flags of requests to the running sweep: what was added after a look, and what was stopped.

Who sees results before choosing what else is run picks by luck too; a p-value counts on the choice being made before.
"""

from analysis.fairness.rows import LedgerRows
from analysis.fairness.words import by_value, named


def added_after_a_look(rows: LedgerRows) -> list[str]:
    """Arms that were added or cloned while results could be seen."""
    added = {row.label: row.facts["added_by_request"] for row in rows if row.facts.get("added_by_request")}
    if not added:
        return []
    return [
        f"Added while the sweep ran: {by_value(added)}. Such a row is chosen with a look at the results, so its "
        "p-values flatter it."
    ]


def seeds_after_a_look(rows: LedgerRows) -> list[str]:
    """Arms that got further seeds while results could be seen, and whether all others got as many."""
    given = {row.label: row.facts["seeds_by_request"] for row in rows if row.facts.get("seeds_by_request")}
    if not given:
        return []
    others = [row.label for row in rows if row.label not in given and not row.facts.get("added_by_request")]
    without = f" {named(others)} got none." if others else ""
    return [
        f"Further seeds were asked for while the sweep ran: {by_value(given)}. Who goes on until a "
        f"difference shows finds one by chance, so p-values are too small.{without}"
    ]


def stopped_by_request(rows: LedgerRows) -> list[str]:
    """Trials that somebody stopped, whose numbers no comparison has."""
    stopped = [reason for row in rows for reason in row.facts.get("stopped_by_request", ())]
    if not stopped:
        return []
    return [f"Left out of comparisons: {'; '.join(stopped)}."]
