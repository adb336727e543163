"""The published study's runs as rows of the fairness ledger, and the ledgers of its three tables.

Its findings come out of the same checks as ours: nothing here says what is wrong with it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from analysis.comparison.fields import matches
from analysis.fairness.ledger import Ledger, make_ledger
from analysis.fairness.rows import LedgerRow
from analysis.published.study import load_published
from basis.fields import OPTIMIZER_FIELDS, arm_label

SETTINGS_FILE = Path(__file__).parent / "published_settings.yaml"

CONFIG_COLUMNS = {
    "method": "method",
    "optimizer": "optimizer",
    "lr_recorded": "lr",
    "steps": "steps",
    "batch_size": "batch_size",
    "block_size": "block_size",
}
"""Columns of published.csv by the config fields that they are."""
NUMBER_COLUMNS = {
    "test_loss_min": "test_loss_best",
    "test_loss_last10_mean": "test_loss_last10_mean",
    "retained_delta_bytes": "retained_delta_bytes",
    "wins_in_files": "wins",
    "prompts": "asked",
    "quality_published": "win_rate",
}
JUDGED_ALONE = ("ties", "judged_as_trained", "prompts", "reward_model")
"""Facts that apply to no run whose responses were not scored."""


def load_settings() -> dict[str, Any]:
    """What is known of the published runs beside their figures; see the head of published_settings.yaml."""
    settings: dict[str, Any] = yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8"))
    return settings


def published_rows() -> list[LedgerRow]:
    """The published runs, from published.csv and published_settings.yaml."""
    settings = load_settings()
    return [_row(run, settings) for run in load_published().to_dict("records")]


def published_ledgers(rows: Sequence[LedgerRow] | None = None) -> dict[str, Ledger]:
    """The ledgers of the study's three tables.

    Args:
        rows: its runs; None for those published.

    Returns:
        Ledgers by the tables' titles.
    """
    runs = published_rows() if rows is None else rows
    return {
        table["title"]: make_ledger([row for row in runs if matches(row.config, table["where"])], table.get("factor"))
        for table in load_settings()["tables"]
    }


def _row(run: Mapping[Any, Any], settings: Mapping[str, Any]) -> LedgerRow:
    judged = not pd.isna(run["wins_in_files"])
    groups = ["every", *([run["method"]] if run["method"] in settings else [])]
    groups += ["judged", f"judged {run['method']}"] if judged else []
    parts = [*(settings.get(group, {}) for group in groups), settings["runs"][run["run"]]]
    config: dict[str, Any] = {field: run[column] for column, field in CONFIG_COLUMNS.items()}
    # An optimizer has no momentum or betas but those in its settings.
    config |= {"rank": None if pd.isna(run["rank"]) else int(run["rank"]), **dict.fromkeys(OPTIMIZER_FIELDS)}
    facts: dict[str, tuple[Any, ...]] = {} if judged else dict.fromkeys(JUDGED_ALONE, ())
    facts["tokens_seen"] = (run["steps"] * run["batch_size"] * run["block_size"],)
    numbers = {name: float(run[column]) for column, name in NUMBER_COLUMNS.items() if not pd.isna(run[column])}
    for part in parts:
        config |= part.get("config", {})
        facts |= {name: (value,) for name, value in part.get("facts", {}).items()}
        numbers |= part.get("numbers", {})
    return LedgerRow(arm_label(config), config, facts, numbers)
