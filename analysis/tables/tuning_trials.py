"""What the trials found that only served to choose: for each arm the settings tried, their losses, and the choice.

These trials are on validation windows alone and in no comparison; the arms that they decided on are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.comparison.choices import Group, chosen_by
from analysis.comparison.evidence import Evidence
from analysis.results.arm_labels import REPLICATE_FIELD, arm_key, label_arms
from analysis.results.outcomes import finite
from analysis.wording.numbers import MISSING, show_number
from analysis.wording.values import show_field
from basis.fields import OPTIMIZER_FIELDS
from basis.metrics import EXECUTION_METRICS
from basis.outcomes import Outcome
from basis.stages import Stage

NOTHING_CHOSEN = f"{MISSING} (none finished)"
LISTED = 12
"""Settings of an arm that the table lists one by one; of more it lists the best."""
TUNING_CSV = "tuning.csv"
"""File of the report with every tuning trial."""


@dataclass(frozen=True)
class TuningTable:
    """The tuning of a sweep.

    Attributes:
        frame: printable strings, one row per arm.
        notes: what its numbers mean.
        without_choice: labels of the arms of which no tuning trial has finished.
    """

    frame: pd.DataFrame
    notes: list[str]
    without_choice: list[str]


def describe_tuning(evidence: Evidence) -> TuningTable | None:
    """Make the table of tuning trials.

    Args:
        evidence: what the sweep's report stands on.

    Returns:
        The table; None for a sweep without tuning trials.
    """
    results = evidence.results
    if results.tuning.empty:
        return None
    configs = {trial: results.configs.get(trial, {}) for trial in results.tuning["trial"]}
    fields = {trial: evidence.chosen[trial] for trial in configs}
    arms = {trial: _named(config, fields[trial]) for trial, config in configs.items()}
    labels = label_arms(arms.values())
    asked: dict[str, Any] = {name: [config.get(name) for config in configs.values()] for name in EXECUTION_METRICS}
    keys = results.tuning["trial"].map(lambda trial: (arm_key(arms[trial]), results.origins.get(trial, "")))
    groups = results.tuning.assign(**asked).groupby(keys, sort=False)
    alike = len({tuple(names) for names in fields.values()}) == 1
    tested = _tested(evidence)
    rows = []
    metrics = dict.fromkeys(chosen_by(sweep.spec) for sweep in results.sweeps if len(sweep.tuning))
    for (key, sweep), trials in groups:
        first = trials["trial"].iloc[0]
        label, final = labels.get(str(key), "unknown config"), tested.get(evidence.groups[first], [])
        label, metric = f"{label} ({sweep})" if sweep else label, chosen_by(results.sweep_of(first).spec)
        rows.append(_row(label, trials, fields[first], alike, metric, final))
    seeds = sorted({str(config[REPLICATE_FIELD]) for config in configs.values() if REPLICATE_FIELD in config})
    frame = pd.DataFrame(rows, dtype=str).fillna(MISSING)
    loss = "Loss is the mean over these windows after the last step"
    if "train_loss" in metrics:
        loss = "Chosen was by train loss, the mean since the report before the last step"
    cut = f" Of more than {LISTED} settings the best are listed; {TUNING_CSV} has all." if _cut(groups) else ""
    return TuningTable(
        frame,
        [
            "Every trial of this table was evaluated on validation windows, which are held out from train: neither "
            f"test windows nor prompts had a part in a choice. {loss}, of one trial each (seed {', '.join(seeds)}, "
            "which no arm of the tables has). A choice at an end of the range may have a better one beyond it." + cut
        ],
        list(frame.loc[frame["chosen"] == NOTHING_CHOSEN, "arm"]),
    )


def _cut(groups: Any) -> bool:
    return any(len(trials) > LISTED for _, trials in groups)


def _tested(evidence: Evidence) -> dict[Group, list[Mapping[str, Any]]]:
    """Configs of the arms that tuning trials decided on, by their groups; once tested, a setting is kept."""
    tested: dict[Group, list[Mapping[str, Any]]] = {}
    for trial in evidence.results.trials["trial"]:
        config = evidence.results.configs.get(trial, {})
        if config.get("evaluate_on") == Stage.FINAL:
            tested.setdefault(evidence.groups[trial], []).append(config)
    return tested


def _row(
    label: str, trials: pd.DataFrame, fields: list[str], alike: bool, metric: str, tested: list[Mapping[str, Any]]
) -> dict[str, str]:
    """One arm: what was tried in the order of the first tuned field, and the trial of the lowest loss."""
    tried: list[dict[Any, Any]] = (trials.sort_values(fields, key=_sortable) if fields else trials).to_dict("records")
    finished = [row for row in tried if row["outcome"] == Outcome.FINISHED and finite(row.get(metric))]
    best = sorted(finished, key=lambda row: float(row[metric]))
    chosen = next((row for row in best if _is_tested(row, fields, tested)), best[0] if best else None)
    listed = tried if len(tried) <= LISTED else [row for row in tried if row in best[:LISTED]]
    cells = [
        f"{_setting(row, fields, alike)}: {show_number(row[metric]) if row in finished else row['outcome']}"
        for row in listed
    ]
    more = [f"and {len(tried) - len(listed)} more"] if len(tried) > len(listed) else []
    values = {name: [row[name] for row in tried] for name in fields}
    several = [name for name in fields if len(set(map(repr, values[name]))) > 1 and all(map(finite, values[name]))]
    ends = [name for name in several if chosen and chosen[name] in (min(values[name]), max(values[name]))]
    at_end = f" ({', '.join(ends)} at an end of the range)" if ends else ""
    heading = ", ".join(fields) if alike and fields else "settings"
    return {
        "arm": label,
        "tuning trials": str(len(tried)),
        f"{heading}: {metric.replace('_', ' ')}": "; ".join([*cells, *more]),
        "chosen": f"{_setting(chosen, fields, alike)}{at_end}" if chosen else NOTHING_CHOSEN,
    }


def _sortable(column: pd.Series) -> pd.Series:
    return column if pd.api.types.is_numeric_dtype(column) else column.map(repr)


def _is_tested(row: Mapping[Any, Any], fields: list[str], tested: list[Mapping[str, Any]]) -> bool:
    return any(all(_same(row[name], config.get(name)) for name in fields) for config in tested)


def _same(a: Any, b: Any) -> bool:
    """Whether two config values are the same, where pandas may have made a list a tuple."""
    plain = (list(value) if isinstance(value, tuple) else value for value in (a, b))
    return bool(next(plain) == next(plain))


def _setting(row: Mapping[Any, Any], fields: list[str], alike: bool) -> str:
    shown = ((name, show_field(row[name])) for name in fields)
    return ", ".join(text if alike else f"{name} {text}" for name, text in shown) or "as it stands"


def _named(config: Mapping[str, Any], fields: list[str]) -> dict[str, Any]:
    """A config without its searched fields, with what its short name needs, should that have been searched.

    An optimizer that was searched takes what is its own along.
    """
    own = OPTIMIZER_FIELDS if "optimizer" in fields else ()
    apart = (*fields, *own, "evaluate_on", REPLICATE_FIELD)
    rest = {name: value for name, value in config.items() if name not in apart}
    return {"method": "any", "rank": "any", "optimizer": "any", **rest}
