"""The GPU benchmark's whole trial, in small on the CPU: each stage has its row and keeps its promise."""

from time import monotonic

import pytest

from benchmarks.gpu.parts import run_part
from benchmarks.table import Target


def test_a_trial_is_judged_replayed_resumed_and_planned_smaller_when_memory_runs_out() -> None:
    # As the command runs it, in a process of its own: one that has freed much memory would not run out of it.
    measured = list(run_part("benchmarks.gpu.trial", "cpu", quick=True, deadline=monotonic() + 120))
    rows = {row["stage"]: row for row in measured if isinstance(row, dict)}
    assert list(rows) == [
        "inputs made and prepared",
        "lora r1 adamw: trained and judged",
        "lora r1 adamw: replayed",
        "lora r1 adamw: out of memory",
        "lora r1 adamw: resumed",
        "full adamw: trained and judged",
        "full adamw: replayed",
    ]
    assert [target.name for target in measured if isinstance(target, Target) and not target.met] == []
    assert {row.get("met") for row in list(rows.values())[1:]} == {"yes"}
    for row in list(rows.values())[1:]:
        assert row["predicted MiB"] == pytest.approx(row["measured MiB"], rel=0.05)
    assert "micro-batch 8: predicted" in str(rows["lora r1 adamw: out of memory"]["seen"])
