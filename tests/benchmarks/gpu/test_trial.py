"""The GPU benchmark's whole trial, in small on the CPU: each stage has its row and keeps its promise."""

import pytest

from tests.benchmarks.gpu.conftest import Tables


@pytest.mark.slow
def test_a_trial_is_judged_replayed_resumed_and_planned_smaller_when_memory_runs_out(tables: Tables) -> None:
    rows = {row["stage"]: row for row in tables.rows("trial")}
    assert list(rows) == [
        "inputs made and prepared",
        "lora r1 adamw: trained and judged",
        "lora r1 adamw: replayed",
        "lora r1 adamw: out of memory",
        "lora r1 adamw: resumed",
        "full adamw: trained and judged",
        "full adamw: replayed",
    ]
    assert tables.missed("trial") == []
    assert {row.get("met") for row in list(rows.values())[1:]} == {"yes"}
    for row in list(rows.values())[1:]:
        assert row["predicted MiB"] == pytest.approx(row["measured MiB"], rel=0.05)
    assert "micro-batch 8: predicted" in str(rows["lora r1 adamw: out of memory"]["seen"])
