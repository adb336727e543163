"""The fairness ledger: whether the rows of a comparison table differ in the factor alone.

It knows nothing of where a row comes from: trials of a sweep and runs of a publication pass the same checks. What a
row does not know is never taken as equal.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.fairness_flags import flags_of, remarks_of
from analysis.ledger_rows import COST_FIELDS, LedgerRow, distinct, rows_of
from analysis.ledger_words import by_value, named, show
from analysis.results import REPLICATE_FIELD, Results
from analysis.tables import LORA_FIELDS, ComparisonTable, inapplicable

COSTS_ALONE = "; matters for speed and memory alone"
COST_FACTS = ("windows_per_pass", "blocks_recomputed", "device", "cpu", "threads")

ALWAYS_ASKED = (
    *("lr", "weight_decay", "schedule", "warmup_steps", "clip_norm", "steps", "batch_size", "block_size"),
    *("precision", "dropout", "test_every", "test_windows"),
)
"""Config fields whose absence is told even where no row has them."""

FACTS = {
    "tokens_seen": "train tokens seen",
    "seeds": "seeds, and with them the order of the data",
    "train_tokens": "train set (hash of its tokens)",
    "base_weights": "base weights (hash)",
    "tokenizer": "tokenizer (hash)",
    "test_tokens": "test set (hash of its tokens)",
    "prompts": "prompts (hash)",
    "reward_model": "reward model (hash)",
    "judged_as_trained": "whether the judged model is the trained one",
    "code_commit": "code (commit)",
    "device": "device",
}
"""Facts that every comparison is asked for, as the ledger words them."""
FACTS_IF_KNOWN = {
    "prompts_answered": "prompts that were answered (hash)",
    "base_responses": "the base model's responses (hash)",
    "validation_tokens": "validation set (hash of its tokens)",
    "windows_per_pass": "windows per forward pass",
    "blocks_recomputed": "activation checkpointing as it was run",
    "cpu": "CPU",
    "threads": "CPU threads",
}
VERSION = "version of "
"""How the names of facts about versions begin."""


@dataclass(frozen=True)
class Ledger:
    """What speaks for and against the fairness of one table, as sentences or short entries.

    Attributes:
        confounds: fields other than the factor whose values are not the same at every level of it, with their values.
        flags: what else is wrong or weak in how the numbers came about.
        remarks: what a reader should know without it being a fault.
        same: what was checked and is the same, with its value.
        unknown: checks that could not be made since some row has no record of the thing.
    """

    confounds: list[str]
    flags: list[str]
    remarks: list[str]
    same: list[str]
    unknown: list[str]


def table_ledgers(results: Results, tables: Sequence[ComparisonTable]) -> dict[str, Ledger]:
    """The ledger of every table of a sweep.

    Args:
        results: the directory's content.
        tables: its tables.

    Returns:
        Ledgers by the tables' anchors.
    """
    return {table.anchor: make_ledger(rows_of(results, table.arms), table.factor) for table in tables}


def make_ledger(rows: Sequence[LedgerRow], factor: str | None) -> Ledger:
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
    checks = _Checks(rows, factor)
    fields = dict.fromkeys((*(name for row in rows for name in row.config), *ALWAYS_ASKED))
    passed_over = _passed_over(rows, factor)
    for name in (name for name in fields if name not in passed_over):
        checks.make(name, [_config_values(row, name) for row in rows], _reach(name, rows))
    crossed = [name for name in fields if name not in (*passed_over, *COST_FIELDS)]
    checks.combinations(crossed)
    known = {name for row in rows for name in row.facts}
    versions = {name: name for name in sorted(known) if name.startswith(VERSION)}
    for name, words in {**FACTS, **{n: w for n, w in FACTS_IF_KNOWN.items() if n in known}, **versions}.items():
        if name not in passed_over:
            checks.make(words, [row.facts.get(name) for row in rows], _reach(name, rows))
    remarks = remarks_of(rows)
    if factor is None and checks.differences:
        differing = "; ".join(checks.differences)
        remarks.append(
            f"The table declares no factor, so no difference is called a confound. The rows differ in {differing}."
        )
    confounds = checks.differences if factor else []
    unknown = checks.not_recorded() + _unknown_code(rows)
    return Ledger(confounds, flags_of(rows, factor), remarks, checks.same, unknown)


Values = tuple[Any, ...] | None
"""The values of a row in one thing: empty where it does not apply, None where it is not known."""


class _Checks:
    """Checks of one table, in the order made: what differs between levels, what is the same, what is not known."""

    def __init__(self, rows: Sequence[LedgerRow], factor: str | None) -> None:
        self.rows = rows
        self.factor = factor
        self.differences: list[str] = []
        self.same: list[str] = []
        self._unknown: dict[tuple[str, ...], list[str]] = {}
        self._differing: set[str] = set()

    def make(self, name: str, values: Sequence[Values], reach: str = "") -> None:
        """Check one thing by level, given its values row by row."""
        found = list(zip(self.rows, values, strict=True))
        if missing := tuple(row.label for row, value in found if value is None):
            self._unknown.setdefault(missing, []).append(name)
        applicable = [(row, value) for row, value in found if value]
        levels: dict[Hashable, set[Any]] = {}
        for row, value in applicable:
            levels.setdefault(self._level(row), set()).update(value)
        if len({frozenset(one) for one in levels.values()}) > 1:
            self.differences.append(f"{name}: {by_value({row.label: value for row, value in applicable})}{reach}")
            self._differing.add(name)
        elif applicable and not missing:
            every = list(dict.fromkeys(show(one, 6) for _, value in applicable for one in value))
            several = f" at every level of {self.factor}" if len(every) > 1 else ""
            self.same.append(f"{name}: {', '.join(every)}{several}")

    def combinations(self, names: Sequence[str]) -> None:
        """Check that fields which take the same values at every level also take the same combinations of them."""
        values = {name: [_config_values(row, name) for row in self.rows] for name in names}
        crossed = [
            name for name, found in values.items() if all(found) and len(set(found)) > 1 and name not in self._differing
        ]
        levels: dict[Hashable, set[Any]] = {}
        for position, row in enumerate(self.rows):
            levels.setdefault(self._level(row), set()).add(tuple(values[name][position] for name in crossed))
        if len(crossed) > 1 and self.factor and len({frozenset(one) for one in levels.values()}) > 1:
            joined = f"{', '.join(crossed[:-1])} and {crossed[-1]}"
            self.differences.append(
                f"combinations of {joined}: each takes the same values at every level of {self.factor}, but not in the "
                "same combinations"
            )

    def not_recorded(self) -> list[str]:
        """The checks that could not be made, by the rows that lack the value."""
        everyone = tuple(row.label for row in self.rows)
        return [
            f"not recorded{'' if labels == everyone else f' for {named(labels)}'}: {', '.join(names)}"
            for labels, names in self._unknown.items()
        ]

    def _level(self, row: LedgerRow) -> Hashable:
        """Where a factor does not apply, as no rank to full fine-tuning, is a level of its own; without a factor every
        row is."""
        return _hashable(row.config.get(self.factor)) if self.factor else row.label


def _config_values(row: LedgerRow, name: str) -> Values:
    full = name in LORA_FIELDS and row.config.get("method") == "full"
    if full or (name in row.config and inapplicable(row.config, name)):
        return ()
    if name in row.ranges:
        return (row.ranges[name],)
    return (_hashable(row.config[name]),) if name in row.config else None


def _passed_over(rows: Sequence[LedgerRow], factor: str | None) -> set[str]:
    """What is no confound: the factor, what follows from it, and what has a flag or a remark of its own."""
    names = {REPLICATE_FIELD, factor or ""}
    if factor in LORA_FIELDS:
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


def _reach(name: str, rows: Sequence[LedgerRow]) -> str:
    """Which columns a difference touches. Under dropout each pass draws its own masks."""
    dropout = any((row.config.get("dropout") or 0) > 0 for row in rows)
    masks = dropout and name in ("micro_batch", "windows_per_pass")
    return COSTS_ALONE if name in (*COST_FIELDS, *COST_FACTS) and not masks else ""


def _unknown_code(rows: Sequence[LedgerRow]) -> list[str]:
    changed = [row.label for row in rows if True in row.facts.get("code_dirty", ())]
    what = "code: it had changes that its commit does not hold, so whether it is the same is not known, in"
    return [f"{what} {named(changed)}"] if changed else []


def _hashable(value: Any) -> Any:
    return distinct([value])[0]
