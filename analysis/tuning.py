"""What the tuning trials of search 'tuned' found: for each arm the settings tried, their validation losses, the choice.

These trials are on validation windows alone and in no comparison; the arms that they decided on are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.columns import MISSING, show_number
from analysis.outcomes import FINISHED, finite
from analysis.results import REPLICATE_FIELD, Results, arm_key, label_arms, show_field
from analysis.what_mattered import tuned_fields

NOTHING_CHOSEN = f"{MISSING} (none finished)"


@dataclass(frozen=True)
class Tuning:
    """The tuning of a sweep.

    Attributes:
        frame: printable strings, one row per arm.
        notes: what its numbers mean.
        without_choice: labels of the arms of which no tuning trial has finished.
    """

    frame: pd.DataFrame
    notes: list[str]
    without_choice: list[str]


def describe_tuning(results: Results) -> Tuning | None:
    """Make the table of tuning trials.

    Args:
        results: the directory's content.

    Returns:
        The table; None for a sweep without tuning trials.
    """
    if results.tuning.empty:
        return None
    fields = tuned_fields(results.spec)
    apart = (*fields, "evaluate_on", REPLICATE_FIELD)
    configs = {name: results.configs.get(name, {}) for name in results.tuning["trial"]}
    arms = {name: {k: v for k, v in config.items() if k not in apart} for name, config in configs.items()}
    labels = label_arms(_named(arm) for arm in arms.values())
    groups = results.tuning.groupby(results.tuning["trial"].map(lambda name: arm_key(_named(arms[name]))), sort=False)
    rows = [_row(labels.get(str(key), "unknown config"), trials, fields) for key, trials in groups]
    seeds = sorted({str(config[REPLICATE_FIELD]) for config in configs.values() if REPLICATE_FIELD in config})
    frame = pd.DataFrame(rows, dtype=str)
    return Tuning(
        frame,
        [
            "Every trial of this table was evaluated on validation windows, which are held out from train: neither "
            "test windows nor prompts had a part in a choice. Loss is the mean over these windows after the last "
            f"step, of one trial each (seed {', '.join(seeds)}, which no arm of the tables has). A choice at an end "
            "of the range may have a better one beyond it."
        ],
        list(frame.loc[frame["chosen"] == NOTHING_CHOSEN, "arm"]),
    )


def _row(label: str, trials: pd.DataFrame, fields: list[str]) -> dict[str, str]:
    """One arm: what was tried in the order of the first tuned field, and the trial of the lowest loss."""
    tried: list[dict[Any, Any]] = trials.sort_values(fields).to_dict("records")
    finished = [row for row in tried if row["outcome"] == FINISHED and finite(row.get("validation_loss"))]
    cells = [
        f"{_setting(row, fields)}: {show_number(row['validation_loss']) if row in finished else row['outcome']}"
        for row in tried
    ]
    chosen = min(finished, key=lambda row: float(row["validation_loss"]), default=None)
    values = {name: [row[name] for row in tried] for name in fields}
    several = [name for name in fields if len(set(values[name])) > 1]
    ends = [name for name in several if chosen and chosen[name] in (min(values[name]), max(values[name]))]
    at_end = f" ({', '.join(ends)} at an end of the range)" if ends else ""
    return {
        "arm": label,
        "tuning trials": str(len(tried)),
        f"{', '.join(fields)}: validation loss": "; ".join(cells),
        "chosen": f"{_setting(chosen, fields)}{at_end}" if chosen else NOTHING_CHOSEN,
    }


def _setting(row: Mapping[Any, Any], fields: list[str]) -> str:
    return ", ".join(show_field(row[name]) for name in fields)


def _named(arm: Mapping[str, Any]) -> dict[str, Any]:
    """A config without its tuned fields, with what its short name needs, should that have been tuned."""
    return {"method": "any", "rank": "any", "optimizer": "any", **arm}
