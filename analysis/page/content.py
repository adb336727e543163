"""All that a report says, gathered once, whatever the format it is written in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from analysis.comparison.arms import collect
from analysis.comparison.compare import looks_at
from analysis.factors.what_mattered import WhatMattered, what_mattered
from analysis.fairness.ledger import Ledger, table_ledgers
from analysis.findings.findings import Finding, find
from analysis.page.figures import Drawing, arm_styles, draw_losses, draw_win_rates
from analysis.page.memory_figure import draw_memory
from analysis.page.pareto_figure import draw_pareto
from analysis.page.responses import SideBySide, side_by_side
from analysis.published.memory import PublishedMemory, explain_memory
from analysis.published.runs import published_ledgers
from analysis.published.study import GPU_MEMORY, comparability, compare_published
from analysis.results.damage import damaged_files
from analysis.results.load import Results, show_field
from analysis.tables.columns import MISSING
from analysis.tables.memory import MemorySection, collect_memory, describe_memory
from analysis.tables.pairwise import PairwiseTable, pairwise_table
from analysis.tables.tables import ComparisonTable, build_tables
from analysis.tables.tuning import Tuning, describe_tuning
from basis.metrics import DEVICE
from basis.outcomes import Outcome

DETAILS = ("versions", "hardware", "data", "identity")
"""Keys of sweep.json that have a section of their own."""


@dataclass(frozen=True)
class Content:
    """Everything that a page shows, in plain values, whatever its format.

    `ledgers` and `pairs` belong to the tables, by their anchors.
    """

    title: str
    about: str
    facts: dict[str, str]
    findings: list[Finding]
    tables: list[ComparisonTable]
    ledgers: dict[str, Ledger]
    pairs: dict[str, PairwiseTable]
    tuning: Tuning | None
    mattered: WhatMattered | None
    drawings: dict[str, Drawing]
    memory: MemorySection | None
    published: pd.DataFrame | None
    remarks: list[str]
    published_ledgers: dict[str, Ledger]
    published_memory: PublishedMemory | None
    unfinished: pd.DataFrame
    responses: SideBySide | None
    details: dict[str, dict[str, str]]
    spec: str


def gather(results: Results, all_pairs: bool = False) -> Content:
    """Work out all that a report says.

    Args:
        results: the directory's content.
        all_pairs: test every pair of arms, however many there are.

    Returns:
        The content of a report, to be written in any format.
    """
    spec, sweep = results.spec, results.sweep
    arms = collect(results)
    tables = build_tables(arms, spec, all_pairs)
    styles = arm_styles(arms)
    # Tables of the same arms, such as one of all and one by optimizer, share the drawing of the first.
    first = {frozenset(arm.label for arm in table.arms): table for table in reversed(tables)}.values()
    drawings = {f"loss-{table.anchor}": draw_losses(table, results.curves, styles) for table in first}
    memory = collect_memory(arms)
    drawings |= {"memory": draw_memory(memory), "win-rate": draw_win_rates(arms, styles)}
    drawings["pareto"] = draw_pareto(arms, styles)
    looks = looks_at(spec)
    pairs = {table.anchor: pairwise_table(table.arms, looks, all_pairs, table.compared) for table in tables}
    mattered = what_mattered(results, arms)
    damaged = damaged_files(results.directory)
    findings = [*([Finding("Damaged files", damaged)] if damaged else []), *find(results, arms, tables)]
    if mattered and mattered.sentences:
        findings.append(Finding("What mattered", mattered.sentences))
    published = bool(spec.get("published_figures"))
    explained = explain_memory(arms) if published and spec.get("variant") == "published" else None
    unfinished = results.trials[(results.trials["outcome"] != Outcome.FINISHED) | (results.trials["reason"] != "")]
    shown = [name for name in ("arm", "seed", "outcome", "reason", "trial") if name in unfinished]
    if DEVICE in results.trials:  # the sweep's own entry is the driver's machine; trials may have run elsewhere
        devices = sorted(set(results.trials[DEVICE].dropna()))
        hardware = sweep.get("hardware")
        known = hardware if isinstance(hardware, Mapping) else {}
        sweep = {**sweep, "hardware": {**known, "trials ran on": devices}}
    variant = {"variant": spec["variant"]} if spec.get("variant") else {}
    others = {name: value for name, value in sweep.items() if name not in (*DETAILS, "name")}
    return Content(
        title=str(spec.get("name") or sweep.get("name") or results.directory.name),
        about=str(spec.get("about") or ""),
        facts=flatten({**others, **variant, "seeds": _seeds(results), "directory": results.directory.name}),
        findings=findings,
        tables=tables,
        ledgers=table_ledgers(results, tables),
        pairs={anchor: table for anchor, table in pairs.items() if table},
        tuning=describe_tuning(results),
        mattered=mattered,
        drawings={name: drawing for name, drawing in drawings.items() if drawing},
        memory=describe_memory(memory, results.attempts, results.trials),
        published=compare_published(arms) if published else None,
        remarks=[comparability(arms, spec), *([] if explained else [GPU_MEMORY])] if published else [],
        published_ledgers=published_ledgers() if published else {},
        published_memory=explained,
        unfinished=unfinished[shown].map(lambda value: MISSING if pd.isna(value) else show_field(value)),
        responses=side_by_side(results.responses, arms),
        details={name: flatten(sweep[name]) for name in DETAILS if isinstance(sweep.get(name), Mapping)},
        spec=yaml.safe_dump(spec, sort_keys=False, allow_unicode=True) if spec else "",
    )


def flatten(values: Mapping[Any, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as one, its keys joined by dots, its values as text."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = _value(value)
    return flat


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return MISSING if value is None else str(value)


def _seeds(results: Results) -> list[Any]:
    found = sorted({int(seed) for seed in results.trials.get("seed", pd.Series(dtype=float)).dropna()})
    planned = results.spec.get("seeds")
    return found or (list(planned) if isinstance(planned, list) else [])
