"""The numbers of a trial from the rows that it reported: its last metrics, and what its curve condenses to."""

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

from analysis.results.outcomes import finite, first_divergence
from basis.metrics import DEVICE, METRIC, NOT_JUDGED, PEAK_SOURCE


def summarize(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of one trial from its rows: the last value of each metric, and what a curve condenses to.

    Args:
        rows: one row per step, in order.

    Returns:
        Metric values by name; tokens_per_second is the median over reports, since a first report holds the warm-up.
        test_loss_last10_mean leaves out step 0 and is NaN with fewer than ten test losses after it.
    """
    values: dict[str, Any] = {}
    for row in rows:
        values.update(metrics_of(row))
    if "win_rate" in values:
        values.pop(NOT_JUDGED, None)  # judged since, as a later row of the same step says
    speeds = [speed for row in rows if finite(speed := row.get("tokens_per_second")) and speed]
    if speeds:
        values["tokens_per_second"] = float(median(speeds))
    tests = [
        (row["test_loss"], row["step"]) for row in rows if finite(row.get("test_loss")) and finite(row.get("step"))
    ]
    if tests:
        values["test_loss_best"], values["test_loss_best_step"] = min(tests)
        trained = [loss for loss, step in tests if step > 0]
        values["test_loss_last10_mean"] = sum(trained[-10:]) / 10 if len(trained) >= 10 else math.nan
    if (step := first_divergence(rows)) is not None:
        values |= {"diverged_step": step, "test_loss_last10_mean": math.nan}  # older losses would pass for final ones
    return values


def metrics_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Of a row what a report knows by name: its metrics, and the text columns beside them."""
    return {name: row[name] for name in (*METRIC, PEAK_SOURCE, DEVICE, NOT_JUDGED) if name in row}
