"""Writes the tables of benchmarks as a Markdown page and a JSON file."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from basis.files import write_text
from benchmarks.table import Row, Table, Target

Machine = dict[str, str | int]

RESULTS = Path(__file__).parent / "results"
"""Where results go unless the user names a folder."""


def write_results(tables: Sequence[Table], machine: Machine, directory: Path, suffix: str = "") -> tuple[Path, Path]:
    """Write `<date>-<GPU or CPU><suffix>.md` and `.json`, each whole or not at all.

    Args:
        tables: what was measured.
        machine: what `describe_machine` returned.
        directory: where the files go; made if need be.
        suffix: end of the files' names.

    Returns:
        The paths of the page and of the JSON file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{str(machine['date'])[:10]}-{slug(str(machine.get('GPU', machine['CPU'])))}{suffix}"
    page, data = directory / f"{stem}.md", directory / f"{stem}.json"
    write_text(page, markdown_page(tables, machine))
    write_text(data, json.dumps(as_json(tables, machine), indent=2, ensure_ascii=False) + "\n")
    return page, data


def slug(text: str) -> str:
    """The text in lower case, with a dash for each run of other characters than letters and digits."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def as_json(tables: Sequence[Table], machine: Machine) -> dict[str, object]:
    """Everything that was measured, unrounded."""
    return {
        "machine": machine,
        "tables": [
            {**asdict(table), "targets": [{**asdict(target), "met": target.met} for target in table.targets]}
            for table in tables
        ],
    }


def markdown_page(tables: Sequence[Table], machine: Machine) -> str:
    """The whole page: the machine, every table with how it was measured, and the targets."""
    parts = ["# Benchmarks", markdown_table([{"": fact, "machine": value} for fact, value in machine.items()])]
    for table in tables:
        parts += [f"## {table.title}", table.about, markdown_table(table.rows)]
    targets = [target for table in tables for target in table.targets]
    parts += ["## Targets", targets_line(targets)]
    if targets:
        parts.append(markdown_table([_target_row(target) for target in targets]))
    return "\n\n".join(parts) + "\n"


def targets_line(targets: Sequence[Target]) -> str:
    """One line that says how many targets are met, and names those that are not."""
    if not targets:
        return "These measurements have no targets."
    missed = [target.name for target in targets if not target.met]
    if not missed:
        return f"All {len(targets)} targets are met."
    return f"{len(targets) - len(missed)} of {len(targets)} targets are met; missed: {'; '.join(missed)}."


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table. It has the columns of all rows, in the order in which they first appear."""
    if not rows:
        return "No rows."
    columns = list(dict.fromkeys(column for row in rows for column in row))
    numeric = {c for c in columns if any(isinstance(row.get(c), (int, float)) for row in rows)}
    lines = [
        [_escaped(column) for column in columns],
        ["---:" if column in numeric else "---" for column in columns],
        *([format_value(row.get(column)) for column in columns] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def format_value(value: str | float | int | None) -> str:
    """The text of a cell: three significant digits, a whole number from 100 on, a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"  # 99.95 would round to "100."
    return _escaped(str(value))


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _target_row(target: Target) -> Row:
    return {
        "target": target.name,
        "promised": f"{'≥' if target.at_least else '≤'} {target.bound:g}",
        "measured": target.value,
        "": "met" if target.met else "**missed**",
    }
