"""The fairness ledger: whether the rows of a comparison table differ in the factor alone.

It knows nothing of where a row comes from: trials of a sweep and runs of a publication pass the same checks. What a
row does not know is never taken as equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.comparison.evidence import Evidence
from analysis.comparison.learning_rates import rate_ranges
from analysis.fairness.consequences import HASHES_OF_MODEL, follows_from, order_of_data
from analysis.fairness.flags import flags_of, remarks_of
from analysis.fairness.reasons import Flag
from analysis.fairness.row_checks import RowChecks, config_values
from analysis.fairness.rows import EXECUTED, LedgerRows, rows_of
from analysis.fairness.words import by_value, named
from analysis.results.arm_labels import REPLICATE_FIELD
from analysis.tables.comparison_table import ComparisonTable
from basis.fields import ADAPTER_FIELDS, COST_FIELDS
from basis.input_hashes import INPUT_HASHES

COSTS_ALONE = "; matters for speed and memory alone"
COST_FACTS = (*EXECUTED.values(), "device", "cpu", "threads")

ALWAYS_ASKED = (
    *("lr", "weight_decay", "schedule", "warmup_steps", "clip_norm", "steps", "batch_size", "block_size"),
    *("precision", "dropout", "test_every", "test_windows"),
)
"""Config fields whose absence is told even where no row has them."""

FACTS = {
    "tokens_seen": "train tokens seen",
    "seeds": "seeds",
    **{name: one.title for name, one in INPUT_HASHES.items() if one.always_asked},
    "judged_as_trained": "whether the judged model is the trained one",
    "code_commit": "code (commit)",
    "device": "device",
}
"""Facts that every comparison is asked for, as the ledger words them."""
FACTS_IF_KNOWN = {
    "prompts_answered": "prompts that were answered (hash)",
    "base_responses": "the base model's responses (hash)",
    "scored_tokens_seen": "train tokens scored",
    **{name: one.title for name, one in INPUT_HASHES.items() if not one.always_asked},
    EXECUTED["micro_batch"]: "micro-batch as it was run",
    EXECUTED["activation_checkpointing"]: "activation checkpointing as it was run",
    "cpu": "CPU",
    "threads": "CPU threads",
}
SEEDS_AND_ORDER = "seeds, and with them the order of the data"
VERSION = "version of "
"""How the names of facts about versions begin."""


@dataclass(frozen=True)
class Ledger:
    """What speaks for and against the fairness of one table, as sentences or short entries.

    Attributes:
        confounds: fields other than the factor whose values are not the same at every level of it, with their values.
        flagged: what else is wrong or weak in how the numbers came about, each with its reason.
        remarks: what a reader should know without it being a fault.
        same: what was checked and is the same, with its value.
        unknown: checks that could not be made since some row has no record of the thing.
        verdict: what came of comparing row with row, in a few words.
        confounded: names of the confounds that touch more than speed and memory.
    """

    confounds: list[str]
    flagged: list[Flag]
    remarks: list[str]
    same: list[str]
    unknown: list[str]
    verdict: str = ""
    confounded: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        """The sentences of what is flagged."""
        return [flag.sentence for flag in self.flagged]


def table_ledgers(evidence: Evidence, tables: Sequence[ComparisonTable]) -> dict[str, Ledger]:
    """The ledger of every table of a sweep.

    Args:
        evidence: what the sweep's report stands on.
        tables: its tables.

    Returns:
        Ledgers by the tables' anchors.
    """
    return {
        table.anchor: make_ledger(rows_of(evidence, table.arms, table.rate_ranges), table.factor) for table in tables
    }


def ledger_beyond_tables(evidence: Evidence, tables: Sequence[ComparisonTable]) -> Ledger | None:
    """The ledger of all arms together, where some stand in no table, as one that was added by request may.

    Args:
        evidence: what the sweep's report stands on.
        tables: its tables.

    Returns:
        The ledger, which names no confound; None where the tables have every arm.
    """
    shown = {arm.label for table in tables for arm in table.arms}
    if all(arm.label in shown for arm in evidence.arms):
        return None
    return make_ledger(rows_of(evidence, evidence.arms, rate_ranges(evidence.arms)), None)


def make_ledger(rows: LedgerRows, factor: str | None) -> Ledger:
    """Check the rows of a table against each other.

    A field is no confound if it takes the same set of values at every level of the factor, as in a crossed grid, or if
    it does not apply to a row, or if each row's value is the best of as many tuning trials of its own.

    Args:
        rows: the rows, in the order of the table.
        factor: the field that the table compares; without one there is no level, so differences are mere remarks.

    Returns:
        The ledger; empty lists throughout for a table without rows.
    """
    if not rows:
        return Ledger([], [], [], [], [])
    consequences = follows_from(factor, rows)
    order_known, order_fields = order_of_data(rows)
    facts = _facts_to_check(rows, order_known)
    fields = dict.fromkeys((*(name for row in rows for name in row.config), *ALWAYS_ASKED))
    passed_over = consequences | _passed_over(rows, factor)
    checks = RowChecks(rows, factor)
    for name in (name for name in fields if name not in passed_over):
        checks.make(name, checks.values(name), _reach(name))
    checks.combinations([name for name in fields if name not in (*passed_over, *COST_FIELDS)])
    for name, words in facts.items():
        if name not in passed_over:
            checks.make(words, [row.facts.get(name) for row in rows], _reach(name))
    aside = _set_aside(rows, consequences, facts)
    return Ledger(
        confounds=checks.differences if factor else [],
        flagged=flags_of(rows, factor),
        remarks=[*remarks_of(rows), *_about_order(order_fields), *_about_differences(checks, aside, factor)],
        same=checks.same,
        unknown=checks.not_recorded() + _unknown_code(rows),
        verdict=_verdict(checks, aside, factor),
        confounded=tuple(checks.confounded) if factor else (),
    )


def _facts_to_check(rows: LedgerRows, order_known: bool) -> dict[str, str]:
    """Names of the facts that the rows are asked for, with the ledger's words for them.

    Args:
        rows: the rows.
        order_known: whether one seed is known to mean one order of the data in all of them.
    """
    known = {name for row in rows for name in row.facts}
    versions = {name: name for name in sorted(known) if name.startswith(VERSION)}
    facts = {**FACTS, **{n: w for n, w in FACTS_IF_KNOWN.items() if n in known}, **versions}
    if order_known or "seeds" not in known:
        facts["seeds"] = SEEDS_AND_ORDER
    return facts


def _about_order(differing: Sequence[str]) -> list[str]:
    """What one seed does not give two rows: the same order of the data, where their batches or windows differ."""
    if not differing:
        return []
    return [
        f"The order of the data is not the same in all rows, whatever their seeds: the windows of a step are drawn by "
        f"seed, batch size, block size and train set, and {' and '.join(differing)} differ"
        f"{'' if len(differing) > 1 else 's'}."
    ]


def _set_aside(rows: LedgerRows, consequences: set[str], facts: dict[str, str]) -> dict[str, str]:
    """Differences that follow from the factor by themselves, each as an entry of the ledger by its words.

    The values of hashes are left out: that they differ is all that they tell.
    """
    entries = {}
    for name in consequences:
        values = [row.facts.get(name) if name in facts else config_values(row, name) for row in rows]
        known = {row.label: value for row, value in zip(rows, values, strict=True) if value}
        if len(set(known.values())) > 1:
            words = facts.get(name, name)
            entries[words] = words if name in HASHES_OF_MODEL else f"{words}: {by_value(known)}{_reach(name)}"
    return dict(sorted(entries.items()))


def _about_differences(checks: RowChecks, aside: dict[str, str], factor: str | None) -> list[str]:
    """What differs without being a confound, though a reader should know it."""
    if factor is None:
        differing = "; ".join(checks.differences)
        return (
            [f"The table declares no factor, so no difference is called a confound. The rows differ in {differing}."]
            if differing
            else []
        )
    remarks = [f"Follows from {factor}, and is no confound: {'; '.join(aside.values())}."] if aside else []
    if checks.levels == 1 and checks.crossed:
        each = "; ".join(checks.crossed.values())
        remarks.append(f"The table compares {factor}, in which its rows do not differ. They differ in {each}.")
    return remarks


def _verdict(checks: RowChecks, aside: dict[str, str], factor: str | None) -> str:
    """What came of the checks: that nothing but the factor differs is said only where nothing else does."""
    if factor is None:
        return "Checked row against row"
    if checks.differences:
        return "What else was checked"
    if checks.levels == 1:
        return f"Checked row against row: {factor} is the same in all rows"
    others = [f"{name} (alike at every level)" for name in checks.crossed]
    others += [f"{name} (which follows from it)" for name in aside]
    others += [f"{name} (tuned for each row)" for name in checks.tuned]
    if others:
        return f"Checked row against row: besides {factor} the rows differ in {', '.join(others)}"
    return f"Checked row against row: nothing but {factor} differs"


def _passed_over(rows: LedgerRows, factor: str | None) -> set[str]:
    """What is no confound besides what follows from the factor: itself, and what has a flag or remark of its own."""
    names = {REPLICATE_FIELD, factor or ""}
    if factor in ADAPTER_FIELDS:
        names.add("method")
    scalings = {row.adapter_scaling for row in rows} - {None}
    if factor == "rank" and len(scalings) == 1:
        names |= {"alpha", "scaling"}  # alpha that grows with rank keeps the adapters' scaling the same
    trials = {(name, tried.trials) for row in rows for name, tried in row.tuned.items()}
    everywhere = [name for name, _ in trials if all(name in row.tuned for row in rows)]
    names |= {name for name in everywhere if len({count for field, count in trials if field == name}) == 1}
    if any("adaptive_seeds" in row.facts for row in rows):
        names.add("seeds")
    return names


def _reach(name: str) -> str:
    """Which columns a difference touches."""
    return COSTS_ALONE if name in (*COST_FIELDS, *COST_FACTS) else ""


def _unknown_code(rows: LedgerRows) -> list[str]:
    changed = [row.label for row in rows if True in row.facts.get("code_dirty", ())]
    what = "code: it had changes that its commit does not hold, so whether it is the same is not known, in"
    return [f"{what} {named(changed)}"] if changed else []
