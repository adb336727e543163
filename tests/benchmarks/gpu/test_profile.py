"""The GPU benchmark's profile, in small on the CPU: each section has the rows that a reader needs."""

from collections.abc import Iterator

import pytest
import torch

from benchmarks.gpu import profile
from benchmarks.gpu.parts import BROKE
from benchmarks.gpu.profile_kernels import RANKS
from benchmarks.gpu.profile_step import MOST_KERNELS, profiled
from benchmarks.table import Row, Target
from tests.benchmarks.gpu.conftest import Tables

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rows(tables: Tables) -> list[Row]:
    """All rows of a quick profile."""
    return tables.rows("profile")


def named(rows: list[Row], section: str) -> list[str]:
    return [str(row["what"]) for row in rows if row["section"] == section]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["full", "lora r1"])
def test_a_step_has_its_time_its_launch_floor_and_what_takes_most_of_it(rows: list[Row], step: str) -> None:
    of_step = [row for row in rows if row["section"] == f"step, {step}, bf16"]
    whole, floor, every, *operators = of_step
    assert floor["what"] == "launch floor: one window of 32 tokens"
    assert all(float(row["lowest"] or 0) > 0 for row in (whole, floor))
    assert len(operators) == MOST_KERNELS
    times = [float(row["median"] or 0) for row in operators]
    assert times == sorted(times, reverse=True)
    assert sum(times) <= float(every["median"] or 0)


@pytest.mark.slow
def test_thin_products_are_timed_at_each_rank_as_they_are_and_padded(rows: list[Row]) -> None:
    found = named(rows, "thin products")
    assert [what for what in found if "as it is" in what] == [f"rank {r}, as it is" for r in RANKS]
    padded = [what for what in found if "padded" in what]
    assert padded == [f"rank {r}, padded to {to}" for r, to in ((1, 8), (2, 8), (3, 8), (7, 8), (10, 16), (100, 104))]
    notes = [str(row["note"]) for row in rows if row["section"] == "thin products"]
    assert all(note.count(",") == 5 + ("padding" in note) for note in notes)


@pytest.mark.slow
def test_every_other_section_has_its_rows(rows: list[Row]) -> None:
    assert len(named(rows, "cross-entropy")) == 5
    assert {what.split(":")[0] for what in named(rows, "attention")} >= {"bf16, as chosen", "fp32, as chosen"}
    ceilings = named(rows, "ceilings")
    assert [what.split(",")[0] for what in ceilings] == ["copy", "bf16 square", "fp32 square", "tf32 square"]
    assert named(rows, "generation")[0] == "new token"
    assert named(rows, "beside tensors") == ["resident memory of this process"]


@pytest.mark.slow
def test_a_section_that_breaks_says_so_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[Row | Target]:
        raise RuntimeError("no such kernel")
        yield {}

    for name in ("step", "thin_products", "cross_entropy", "attention", "ceilings", "responses"):
        monkeypatch.setattr(profile, name, broken)
    rows = [row for row in profile.measure(CPU, quick=True) if isinstance(row, dict)]
    assert {"section": "attention", BROKE: "RuntimeError: no such kernel"} in rows
    assert rows[-1]["section"] == "beside tensors"


def test_a_profile_counts_each_operator_of_one_call() -> None:
    a = torch.ones(8, 8)
    found = profiled(lambda: a @ a @ a, CPU)
    assert {kernel.name: kernel.count for kernel in found.kernels}["aten::mm"] == 2
    assert found.ms == pytest.approx(sum(kernel.ms for kernel in found.kernels))
