"""The benchmarks: what a step is said to need, what a page says, and the step benchmark itself in small."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from basis.packages import ROOT
from benchmarks.results import format_value, markdown_page, markdown_table, targets_line, write_results
from benchmarks.step import Group, Step, check_losses, targets_of
from benchmarks.step_shapes import SHAPES, Shape
from benchmarks.table import Table, Target

MACHINE: dict[str, str | int] = {"date": "2026-11-24T10:00:00+00:00", "CPU": "Some CPU @ 2.0GHz", "cores": 2}


def test_flops_of_a_shape_small_enough_to_count_by_hand() -> None:
    shape = Shape(layers=2, width=10, heads=1, batch=3, block=4, vocabulary=7)
    # weights in matrices: a block has 3 d^2 + d^2 + 4 d^2 + 4 d^2 = 1200, twice, and the head 70: 2470
    # attention: forward 2 T d per layer = 80, two layers 160, with backward three times that: 480
    assert shape.flops_per_token("full") == 6 * 2470 + 480
    assert shape.flops_per_token("lora") == 4 * 2470 + 480
    assert shape.flops("full") == 12 * 15300


def test_a_swiglu_has_three_matrices_of_its_own_width() -> None:
    llama = Shape(layers=2, width=10, heads=1, batch=3, block=4, vocabulary=7, swiglu=20)
    assert llama.flops_per_token("lora") == 4 * (2 * (4 * 100 + 3 * 10 * 20) + 70) + 480


def test_flops_of_gpt2_are_six_per_weight_and_little_more() -> None:
    gpt2 = SHAPES["base"]
    assert gpt2.flops_per_token("full") / (6 * 124e6) == pytest.approx(1, abs=0.02)


def step(cpu_s: float, gflops: float, growth: float) -> Step:
    return Step(cpu_s=cpu_s, wall_s=cpu_s, sgemm_gflops=gflops, loss=10.0, growth_mib=growth)


def test_speed_is_compared_within_a_round_and_at_the_machines_speed_of_the_moment() -> None:
    group = Group(
        "lora",
        "small",
        {
            "ours": [step(1, 100, 50), step(2, 50, 60), step(1, 100, 100)],
            "TRL + PEFT": [step(3, 100, 900), step(3, 100, 900), step(4, 100, 900)],
            "HF + PEFT": [step(1, 100, 400), step(1, 100, 400), step(1, 100, 500)],
            "HF + loralib": [step(2, 100, 400), step(2, 100, 400), step(2, 100, 500)],
        },
    )
    assert group.speedups("TRL + PEFT") == pytest.approx([3, 3, 4])  # the slow second round was the machine's
    assert group.mfu("ours") == pytest.approx(SHAPES["small"].flops("lora") / 100e9)
    met = {target.name: (round(target.value, 6), target.met) for target in targets_of(group)}
    assert met["lora, small: speed, ours / TRL + PEFT"] == (3, True)
    assert met["lora, small: speed, ours / HF + PEFT"] == (1, False)
    assert met["lora, small: memory growth, ours / HF + PEFT"] == (0.2, True)


@pytest.mark.parametrize("other", [10.002, math.nan])
def test_variants_that_compute_another_loss_stop_the_benchmark(other: float) -> None:
    check_losses("round 1", {"ours": 10.0, "HF Trainer": 10.0009})
    with pytest.raises(RuntimeError, match=r"same loss \(round 1\): ours 10.00000, HF Trainer"):
        check_losses("round 1", {"ours": 10.0, "HF Trainer": other})


def test_a_table_has_all_columns_of_its_rows_and_escapes_what_would_break_it() -> None:
    table = markdown_table([{"name": "a|b", "x": 1.23456}, {"name": "c", "x": None, "y": 12345}])
    assert table.splitlines() == [
        "| name | x | y |",
        "| --- | ---: | ---: |",
        r"| a\|b | 1.23 | – |",
        "| c | – | 12345 |",
    ]
    assert [format_value(value) for value in (1234.5, 0.5, 99.96)] == ["1,234", "0.500", "100"]


def test_a_page_tells_what_was_measured_where_and_which_promises_are_kept(tmp_path: Path) -> None:
    kept, broken = Target("speed", 1.5, 1.3), Target("memory", 0.4, 0.25, at_least=False)
    table = Table("step", "The step", "How it was done.", [{"variant": "ours", "s": 0.5}], [kept, broken])
    page = markdown_page([table], MACHINE)
    for text in (
        "# Benchmarks",
        "| CPU | Some CPU @ 2.0GHz |",
        "## The step\n\nHow it was done.\n\n| variant | s |",
        "1 of 2 targets are met; missed: memory.",
        "| speed | ≥ 1.3 | 1.50 | met |",
        "| memory | ≤ 0.25 | 0.400 | **missed** |",
    ):
        assert text in page
    written, data = write_results([table], MACHINE, tmp_path / "new", "-step")
    assert written.name == "2026-11-24-some-cpu-2-0ghz-step.md"
    assert written.read_text(encoding="utf-8") == page
    stored = json.loads(data.read_text(encoding="utf-8"))
    assert stored["machine"] == MACHINE
    assert [target["met"] for target in stored["tables"][0]["targets"]] == [True, False]
    assert targets_line([kept]) == "All 1 targets are met."


@pytest.mark.slow
def test_the_step_benchmark_runs_every_variant_to_the_same_loss(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    pytest.importorskip("trl")
    command = [sys.executable, "-m", "benchmarks", "step", "--quick", "--output", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    (page,), (data,) = tmp_path.glob("*-step-quick.md"), tmp_path.glob("*-step-quick.json")
    assert "## The training step" in page.read_text(encoding="utf-8")
    (table,) = json.loads(data.read_text(encoding="utf-8"))["tables"]
    found = {(row["shape"], row["method"], row["variant"]): row["loss"] for row in table["rows"]}
    for name in ("tiny", "tiny llama"):
        for method, variants in SHAPES[name].variants.items():
            losses = {
                variant: loss
                for (its_shape, its_method, variant), loss in found.items()
                if its_shape == f"{name} ({SHAPES[name]})" and its_method == method
            }
            assert losses.keys() == set(variants)
            assert max(losses.values()) - min(losses.values()) <= 1e-3
    assert all(row["CPU s"] > 0 and row["tokens per GFLOP"] > 0 for row in table["rows"])
