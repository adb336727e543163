"""What a fairness ledger flags of sweeps that are reported as one: what differs between them, and that they were put
together. Silent within one sweep, whose rows name none.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from analysis.fairness.rows import DATA_FILES, SWEEPS, LedgerRow, LedgerRows
from analysis.wording.phrases import join
from basis.input_hashes import INPUT_HASHES

BASE_WEIGHTS = "base_weights"
IN_TOKENS = ("train_tokens", "test_tokens", "validation_tokens", "general_tokens")
"""Hashes that another tokenizer changes, whatever the text: they tell something only under one tokenizer."""
OF_RESPONSES = {"base_responses": "the base model's responses (hash)"}
CODE = {"code_files": "code (hash of its files)", "code_commit": "code (commit)"}
VERSION = "version of "
HARDWARE = ("device", "cpu", "threads")


def of_other_inputs(rows: LedgerRows) -> list[str]:
    """Data, weights, prompts or judge that are not the same in all sweeps."""
    entries = []
    for name, one in INPUT_HASHES.items():
        if name not in IN_TOKENS:
            entries += _differing(rows, name, one.title)
    for alike in _by_fact(rows, "tokenizer"):
        for name in IN_TOKENS:
            entries += _differing(alike, name, INPUT_HASHES[name].title)
    if len({row.facts.get("tokenizer", ()) for row in rows}) > 1:
        entries += _differing(rows, DATA_FILES, "data files (hashes)")
    for alike in _by_fact(rows, BASE_WEIGHTS):
        for name, title in OF_RESPONSES.items():
            entries += _differing(alike, name, title)
    if not entries:
        return []
    return [
        f"The sweeps differ in {'; '.join(dict.fromkeys(entries))}. A difference between arms of two sweeps may come "
        "from that alone."
    ]


def of_other_code(rows: LedgerRows) -> list[str]:
    """Code or packages of other versions."""
    known = {name for row in rows for name in row.facts}
    code = next((name for name in CODE if name in known), None)
    names = {
        **({code: CODE[code]} if code else {}),
        **{name: name for name in sorted(known) if name.startswith(VERSION)},
    }
    entries = [entry for name, title in names.items() for entry in _differing(rows, name, title)]
    changed = list(dict.fromkeys(name for row in rows if True in row.facts.get("code_dirty", ()) for name in _of(row)))
    sentences = [f"The sweeps ran under other code or packages: {'; '.join(entries)}."] if entries else []
    if changed and code == "code_commit" and _several(rows):
        sentences.append(f"The code had changes that its commit does not hold in {join(changed)}: it may differ.")
    return sentences


def of_other_hardware(rows: LedgerRows) -> list[str]:
    """Devices that are not the same in all sweeps."""
    entries = [entry for name in HARDWARE for entry in _differing(rows, name, name)]
    if not entries:
        return []
    return [
        f"The sweeps ran on other hardware: {'; '.join(entries)}. Times, and memory on another kind of device, do not "
        "compare across them."
    ]


def put_together(rows: LedgerRows) -> list[str]:
    """Arms of several sweeps, which somebody has chosen to set beside each other."""
    names = _several(rows)
    if not names:
        return []
    return [
        f"The rows come from {len(names)} sweeps ({join(names)}). If these were chosen, or one was begun, after seeing "
        "results of another, p-values are too small: they count the pairs of this report and not the choice."
    ]


def _several(rows: LedgerRows) -> list[str]:
    """The sweeps of these rows, where there are two or more."""
    names = sorted({name for row in rows for name in _of(row)})
    return names if len(names) > 1 else []


def _of(row: LedgerRow) -> Sequence[str]:
    return row.facts.get(SWEEPS, ())


def _by_fact(rows: LedgerRows, name: str) -> Iterable[LedgerRows]:
    """The rows apart by their values of a fact."""
    groups: dict[tuple[Any, ...], list[LedgerRow]] = {}
    for row in rows:
        groups.setdefault(row.facts.get(name, ()), []).append(row)
    return groups.values()


def _differing(rows: LedgerRows, name: str, title: str) -> list[str]:
    """A fact by sweep, where sweeps that know it differ in it; values of hashes are left out, as they tell nothing."""
    values: dict[str, set[Any]] = {}
    for row in rows:
        for sweep in _of(row):
            values.setdefault(sweep, set()).update(row.facts.get(name, ()))
    known: dict[frozenset[Any], list[str]] = {}
    for sweep, of_sweep in sorted(values.items()):
        if of_sweep:
            known.setdefault(frozenset(of_sweep), []).append(sweep)
    if len(known) < 2:
        return []
    if name in INPUT_HASHES or name in OF_RESPONSES or name in CODE or name == DATA_FILES:
        return [f"{title}: {' against '.join(map(join, known.values()))}"]
    each = (f"{' and '.join(sorted(map(str, shown)))} ({join(sweeps)})" for shown, sweeps in known.items())
    return [f"{title}: {', '.join(each)}"]
