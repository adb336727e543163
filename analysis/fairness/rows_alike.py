"""Rows of a table whose losses agree in every digit, as two copies of one run do."""

from collections.abc import Iterator
from itertools import combinations, islice

from analysis.fairness.rows import LOSSES, LedgerRows
from analysis.fairness.words import NAMED_ROWS
from basis.fields import COST_FIELDS
from basis.outcomes import NOT_COMPARED, Outcome

MOST_PAIRS = 1000
"""Pairs of rows alike that are looked for."""


def same_in_every_digit(rows: LedgerRows) -> list[str]:
    """Rows of different settings whose losses agree in every digit, as two copies of one run do.

    Rows that diverged or failed may have no loss but that of the base model, which is the same for all.
    """
    trained = [row for row in rows if row.fact("outcome") not in (Outcome.DIVERGED, *NOT_COMPARED)]
    places = sorted(islice(_alike(trained), MOST_PAIRS))
    if not places:
        return []
    named_pairs = []
    for a, b in ((trained[first], trained[second]) for first, second in places[:NAMED_ROWS]):
        known = [f"{name} {a.numbers[name]:.6g}" for name in LOSSES if name in a.numbers and name in b.numbers]
        named_pairs.append(f"{a.label} and {b.label} ({', '.join(known)})")
    more = f" and {len(places) - NAMED_ROWS} pairs more" if len(places) > NAMED_ROWS else ""
    more = f" and more than {MOST_PAIRS - NAMED_ROWS - 1} pairs more" if len(places) == MOST_PAIRS else more
    return [
        f"Rows of different settings agree in every digit: {'; '.join(named_pairs)}{more}. "
        "Either the settings have no effect or one run stands for both."
    ]


def _alike(rows: LedgerRows) -> Iterator[tuple[int, int]]:
    """Places of two rows that agree in all losses that both have, two at least, and differ in some setting.

    They are looked up by two losses at once: many rows have far too many pairs, also of those that share one.
    """
    places_by_losses: dict[tuple[object, ...], list[int]] = {}
    for place, row in enumerate(rows):
        for names in combinations([name for name in LOSSES if name in row.numbers], 2):
            places_by_losses.setdefault((names, *(row.numbers[name] for name in names)), []).append(place)
    seen: set[tuple[int, int]] = set()
    for pair in (pair for places in places_by_losses.values() for pair in combinations(places, 2)):
        if pair in seen:
            continue
        seen.add(pair)
        a, b = rows[pair[0]], rows[pair[1]]
        same = all(a.numbers[name] == b.numbers[name] for name in LOSSES if name in a.numbers and name in b.numbers)
        fields = (a.config.keys() | b.config.keys()) - {*COST_FIELDS}
        if same and any(a.config.get(name) != b.config.get(name) for name in fields):
            yield pair
