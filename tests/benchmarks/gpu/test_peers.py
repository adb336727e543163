"""The GPU benchmark's peers, in small on the CPU: each has its row, and one that fails leaves the others theirs."""

import importlib
import sys

import pytest
import torch

from benchmarks.gpu import peers
from benchmarks.gpu.parts import BROKE
from benchmarks.gpu.peers import Duel, Times, hold, told
from benchmarks.table import Target
from tests.benchmarks.gpu.conftest import Tables

CPU = torch.device("cpu")
FULL, LORA = "full step, ms, 2 x 64, 2 x 32 tokens", "lora step, ms, 2 x 64, 2 x 32 tokens"


@pytest.mark.slow
def test_each_peer_takes_turns_with_ours_on_the_same_work(tables: Tables) -> None:
    pytest.importorskip("peft")
    pytest.importorskip("accelerate")
    rows = tables.rows("peers")
    assert [row.get(BROKE) for row in rows] == [None] * len(rows)
    assert [(row["task"], row["peer"]) for row in rows] == [
        (FULL, "HF loop"),
        (LORA, "HF + PEFT"),
        (FULL, "HF loop, blocks compiled"),
        (FULL, "HF Trainer"),
        (LORA, "HF Trainer + PEFT"),
        ("new token of 4 prompts, ms, 2 x 64, fp32", "HF generate"),
        (FULL, "HF loop, compiled"),
    ]
    for row in rows:
        assert float(row["lowest"] or 0) <= float(row["ratio"] or 0) <= float(row["highest"] or 0)


@pytest.mark.slow
def test_a_peer_that_is_not_installed_is_named_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module("transformers.trainer")  # while it finds peft: afterwards it could not be imported
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr(peers, "blocks_compiled", peers.as_it_is)
    monkeypatch.setattr(peers, "compiled", peers.as_it_is)
    rows = [row for row in peers.measure(CPU, quick=True) if isinstance(row, dict)]
    missing = {row["peer"]: row["not installed"] for row in rows if "not installed" in row}
    assert missing == {"HF + PEFT": "peft", "HF Trainer + PEFT": "peft"}
    assert not any(BROKE in row for row in rows)
    assert len([row for row in rows if "ratio" in row]) == 5


def test_a_peer_that_computes_another_loss_is_not_compared() -> None:
    duel = Duel("step", "HF loop", lambda: lambda: torch.tensor(10.0), lambda: lambda: torch.tensor(10.1))
    with pytest.raises(RuntimeError, match="do not compute the same loss"):
        list(hold(duel, CPU))


def test_a_ratio_is_the_median_of_rounds_and_a_promise_is_held_to_it() -> None:
    ours, theirs = Times([1.0, 2.0, 1.0]), Times([1.5, 4.0, 1.2])
    row, target = told("step", "HF loop", ours, theirs, bound=1.3)
    assert isinstance(row, dict)
    assert (row["ratio"], row["lowest"], row["highest"]) == (1.5, 1.2, 2.0)
    assert target == Target("step: ours / HF loop", 1.5, 1.3)
    assert len(list(told("step", "HF loop", ours, theirs, bound=None))) == 1
