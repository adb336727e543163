"""The GPU benchmark's whole trial, in small on the CPU: each stage has its row and keeps its promise."""

from collections.abc import Iterator

import pytest
import torch

from benchmarks.gpu import trial
from benchmarks.table import Target


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A trial sets the threads of its process; tests go on with theirs."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_trial_is_judged_replayed_resumed_and_planned_smaller_when_memory_runs_out() -> None:
    measured = list(trial.measure(torch.device("cpu"), quick=True))
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
