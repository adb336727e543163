"""All that a report says, worked out once, whatever the format it is written in."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import yaml

from analysis.comparison.arms import Arm, inapplicable
from analysis.comparison.evidence import Evidence, evidence_of
from analysis.comparison.fields import varying_fields
from analysis.drawings.arm_styles import arm_styles
from analysis.drawings.drawing import Drawing
from analysis.drawings.losses import draw_losses
from analysis.drawings.memory import draw_memory
from analysis.drawings.pareto import draw_pareto
from analysis.drawings.win_rates import draw_win_rates
from analysis.factors.pareto import Front, fronts_of
from analysis.factors.what_mattered import WhatMattered, what_mattered
from analysis.fairness.ledger import Ledger, table_ledgers
from analysis.figures.all_figures import page_figures
from analysis.figures.page_figure import PageFigure
from analysis.findings.finding import Finding
from analysis.findings.what_it_shows import findings_of
from analysis.page.headline import headline_of
from analysis.page.responses import SideBySide, side_by_side
from analysis.published.gpu_memory import PublishedMemory, explain_memory
from analysis.published.runs import published_ledgers
from analysis.published.study import GPU_MEMORY, comparability, compare_published
from analysis.results.experiment import Results
from analysis.tables.comparison_table import ComparisonTable, build_tables
from analysis.tables.pairwise import PairwiseTable, pairwise_table
from analysis.tables.peak_memory import ArmMemory, MemorySection, describe_memory, memory_of_arms
from analysis.tables.tuning_trials import TuningTable, describe_tuning
from analysis.verdict.summarise import summarise
from analysis.verdict.summary import Summary
from analysis.wording.numbers import MISSING
from analysis.wording.values import show_field
from basis.metrics import DEVICE
from basis.outcomes import Outcome

DAMAGED = "Damaged files"
"""Topic of the finding that names what of the directory cannot be read."""
NOT_REPRODUCED = "Not reproduced"
"""Topic of the finding that names trials which two sweeps ran, with another loss in each."""
MATTERED = "What mattered"
"""Topic of the finding on the factors."""
DETAILS = ("versions", "hardware", "data", "identity")
"""Keys of sweep.json that have a section of their own."""
TOLD_ELSEWHERE = {"data": ("rows",)}
"""Keys of these that their section leaves out: a flag of the fairness ledger tells what rows cut of examples."""


@dataclass(frozen=True)
class Content:
    """Everything that a page shows, in plain values, whatever its format.

    Attributes:
        title: heading of the page.
        about: what the sweep is about, from its spec; empty where it says nothing.
        headline: the sweep in a few words each: trials, model, data, date.
        facts: what is on record of the sweep as a whole, by name.
        summary: the first screen.
        findings: what the numbers show.
        tables: the comparison tables.
        ledgers: what speaks for and against the fairness of each table, by the table's anchor.
        pairs: the pairs of each table that has any to compare, by the table's anchor.
        tuning: the tuning trials; None without any.
        mattered: which factor mattered; None where fewer than two arms finished.
        drawings: the figures as they are drawn into files, by name.
        figures: the figures of the page, which answer to the mouse, by name.
        factors: by arm, the fields in which arms differ with their values as printed.
        memory: what each arm took of memory; None where nothing is known of it.
        published: the published figures beside ours; None unless the spec asks for them.
        remarks: what has to be known to read the two together.
        published_ledgers: the ledgers of the published tables, by their titles.
        published_memory: the published "GPU memory" explained; None unless the sweep repeats the published study.
        unfinished: the trials that did not finish or were not judged, as printable strings.
        responses: what each arm answered, side by side; None without responses.
        details: sections of the sweep's record, by heading.
        spec: the resolved spec as YAML; empty where it is lost.
    """

    title: str
    about: str
    headline: list[str]
    facts: dict[str, str]
    summary: Summary
    findings: list[Finding]
    tables: list[ComparisonTable]
    ledgers: dict[str, Ledger]
    pairs: dict[str, PairwiseTable]
    tuning: TuningTable | None
    mattered: WhatMattered | None
    drawings: dict[str, Drawing]
    figures: dict[str, PageFigure]
    factors: dict[str, dict[str, str]]
    memory: MemorySection | None
    published: pd.DataFrame | None
    remarks: list[str]
    published_ledgers: dict[str, Ledger]
    published_memory: PublishedMemory | None
    unfinished: pd.DataFrame
    responses: SideBySide | None
    details: dict[str, dict[str, str]]
    spec: str

    @cached_property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The tables of a report by name, which is that of its file where a table is too long for a page."""
        frames = {f"table-{table.anchor}": table.frame for table in self.tables}
        frames |= {f"pairs-{anchor}": pairs.frame for anchor, pairs in self.pairs.items()}
        if self.mattered is not None:
            mattered = self.mattered
            frames |= {"effects": mattered.effects, "importance": mattered.importance, "costs": mattered.costs}
        if self.tuning is not None:
            frames["tuning"] = self.tuning.frame
        if self.memory is not None:
            memory = self.memory
            frames |= {"memory": memory.peaks, "memory-parts": memory.parts, "memory-attempts": memory.attempts}
        if self.published is not None:
            frames["published"] = self.published
        if self.published_memory is not None:
            explained = self.published_memory
            frames |= {"published-memory": explained.explained, "published-memory-ours": explained.ours}
        return {**frames, "unfinished": self.unfinished}


def content_of(results: Results, all_pairs: bool = False) -> Content:
    """Work out all that a report says.

    Args:
        results: the directory's content.
        all_pairs: test every pair of arms, however many there are.

    Returns:
        The content of a report, to be written in any format.
    """
    spec, sweep = results.spec, _with_devices(results)
    facts = _facts(results, sweep)
    details = _details(results, sweep)
    unfinished = _unfinished(results.trials)
    evidence = evidence_of(results)
    arms = evidence.arms
    tables = build_tables(arms, spec, evidence.looks, all_pairs)
    pairs = {table.anchor: pairwise_table(table.arms, table.compared, all_pairs) for table in tables}
    tuning = describe_tuning(evidence)
    ledgers = table_ledgers(evidence, tables)
    fronts = fronts_of(evidence.finished)
    mattered = what_mattered(evidence, fronts)
    memory = memory_of_arms(arms)
    published = bool(spec.get("published_figures"))
    explained = explain_memory(arms) if published and spec.get("variant") == "published" else None
    return Content(
        title=str(spec.get("name") or sweep.get("name") or results.directory.name),
        about=str(spec.get("about") or ""),
        headline=headline_of(results),
        facts=facts,
        summary=summarise(evidence, tables, ledgers, fronts),
        findings=_findings(evidence, tables, tuning, mattered),
        tables=tables,
        ledgers=ledgers,
        pairs={anchor: table for anchor, table in pairs.items() if table},
        tuning=tuning,
        mattered=mattered,
        drawings=_drawings(evidence, tables, memory, fronts),
        figures=page_figures(evidence, fronts, memory),
        factors=_factors(arms),
        memory=describe_memory(memory, results.attempts, results.trials),
        published=compare_published(arms) if published else None,
        remarks=[comparability(arms, spec), *([] if explained else [GPU_MEMORY])] if published else [],
        published_ledgers=published_ledgers() if published else {},
        published_memory=explained,
        unfinished=unfinished,
        responses=side_by_side(results.responses, arms),
        details=details,
        spec=_specs(results),
    )


def _findings(
    evidence: Evidence, tables: list[ComparisonTable], tuning: TuningTable | None, mattered: WhatMattered | None
) -> list[Finding]:
    """What the sweep shows, after what is damaged of it and before what mattered."""
    damaged = evidence.results.damaged
    unlike = list(evidence.results.unlike_repeats)
    findings = [
        *([Finding(DAMAGED, damaged)] if damaged else []),
        *([Finding(NOT_REPRODUCED, unlike)] if unlike else []),
        *findings_of(evidence, tables, tuning),
    ]
    if mattered and mattered.sentences:
        findings.append(Finding(MATTERED, mattered.sentences))
    return findings


def _drawings(
    evidence: Evidence, tables: list[ComparisonTable], memory: list[ArmMemory], fronts: list[Front]
) -> dict[str, Drawing]:
    """The figures by name; tables of the same arms, such as one of all and one by optimizer, share the first one's."""
    styles = arm_styles(evidence.arms)
    first = {frozenset(arm.label for arm in table.arms): table for table in reversed(tables)}.values()
    drawings = {f"loss-{table.anchor}": draw_losses(table, evidence.results.curves, styles) for table in first}
    drawings |= {"memory": draw_memory(memory), "win-rate": draw_win_rates(evidence.arms, styles)}
    drawings["pareto"] = draw_pareto(fronts, styles)
    return {name: drawing for name, drawing in drawings.items() if drawing}


def _factors(arms: list[Arm]) -> dict[str, dict[str, str]]:
    """By arm, the fields in which arms differ with their values; those that do not apply to an arm are left out."""
    names = varying_fields(arms)
    return {
        arm.label: {
            name: show_field(arm.config[name])
            for name in names
            if name in arm.config and not inapplicable(arm.config, name)
        }
        for arm in arms
    }


def _unfinished(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that did not finish or were not judged, as printable strings."""
    unfinished = trials[(trials["outcome"] != Outcome.FINISHED) | (trials["reason"] != "")]
    shown = [name for name in ("arm", "seed", "outcome", "reason", "trial") if name in unfinished]
    return unfinished[shown].map(lambda value: MISSING if pd.isna(value) else show_field(value))


def _with_devices(results: Results) -> dict[str, Any]:
    """The sweep's record with the devices of its trials; its own entry is the driver's machine alone."""
    if DEVICE not in results.trials:
        return results.sweep
    hardware = results.sweep.get("hardware")
    devices = sorted(set(results.trials[DEVICE].dropna()))
    return {
        **results.sweep,
        "hardware": {**(hardware if isinstance(hardware, Mapping) else {}), "trials ran on": devices},
    }


def _facts(results: Results, sweep: Mapping[str, Any]) -> dict[str, str]:
    """What stands below the title: the sweep's record but for the details, its variant, seeds and directory."""
    variant = {"variant": results.spec["variant"]} if results.spec.get("variant") else {}
    precisions = sorted(set(results.trials["precision"].dropna())) if "precision" in results.trials else []
    variant |= {"precision": precisions} if precisions else {}
    if results.parts:
        told = ("command", "started_at", "finished_at")
        own = {
            name: {key: part.sweep[key] for key in told if key in part.sweep} | {"trials": len(part.trials)}
            for name, part in results.parts.items()
        }
        directories = " ".join(part.directory.name for part in results.parts.values())
        return flatten({**variant, "seeds": _seeds(results), **own, "directory": directories})
    others = {name: value for name, value in sweep.items() if name not in (*DETAILS, "name")}
    return flatten({**others, **variant, "seeds": _seeds(results), "directory": results.directory.name})


def _details(results: Results, sweep: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The sections of the sweep's record; of several sweeps those of each, under its name."""
    if results.parts:
        return {
            f"{name} of {sweep_name}": section
            for sweep_name, part in results.parts.items()
            for name, section in _details(part, part.sweep).items()
        }
    return {name: _detail(name, sweep[name]) for name in DETAILS if isinstance(sweep.get(name), Mapping)}


def _specs(results: Results) -> str:
    """The resolved spec as YAML; of several sweeps each under its name; empty where it is lost."""
    spec = {name: part.spec for name, part in results.parts.items()} or results.spec
    return yaml.safe_dump(spec, sort_keys=False, allow_unicode=True) if spec else ""


def _detail(name: str, values: Mapping[Any, Any]) -> dict[str, str]:
    """A section of the sweep's record without what the report tells elsewhere."""
    return flatten({key: value for key, value in values.items() if key not in TOLD_ELSEWHERE.get(name, ())})


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
    seeds = sorted({int(seed) for seed in results.trials.get("seed", pd.Series(dtype=float)).dropna()})
    planned = results.spec.get("seeds")
    return seeds or (list(planned) if isinstance(planned, list) else [])
