"""The full-size benchmark: that what it runs is the study, what it says the whole would take, and itself in small."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers import DebertaV2ForSequenceClassification, GPT2Config

from basis.packages import ROOT
from benchmarks import full_size
from benchmarks.__main__ import _suffix
from benchmarks.full_size import CASES, measure
from benchmarks.full_size_inputs import REAL, TINY, Files, reward_config, short_spec
from benchmarks.full_size_tables import Figures, tables_of
from benchmarks.full_size_worker import FULL, LORA, Case, Judged, choose_trial
from benchmarks.isolate import NAMES, run_apart
from benchmarks.step_shapes import Shape
from benchmarks.study_time import A100, GPU, Pace, Work, count_work, evaluation_windows
from benchmarks.table import Table
from model.gpt2_lora import gpt2_config
from sweep.spec_file.load import load_spec
from sweep.trial.config import TrialConfig
from tests.conftest import PATIENCE_SECONDS

MEDIUM = gpt2_config("gpt2-medium", {})


def trial(**changes: Any) -> TrialConfig:
    values = {"method": "full", "optimizer": "adamw", "lr": 1e-3, "steps": 4, "batch_size": 3, "block_size": 4}
    return TrialConfig.model_validate({**values, "test_every": 2, "test_windows": 5, **changes})


# --------------------------------------------------------------------------------------------------- what a trial needs


def test_work_of_a_shape_small_enough_to_count_by_hand() -> None:
    shape = GPT2Config(n_layer=2, n_embd=10, n_head=1, vocab_size=7, n_positions=4)
    # a block has 3 d^2 + d^2 + 4 d^2 + 4 d^2 = 1200 weights in matrices, twice, and the head 70: 2470
    # attention forward: 2 T d per layer = 80, two layers 160
    assert count_work(trial(), shape) == Work(step_flops=12 * (6 * 2470 + 3 * 160), window_flops=4 * (2 * 2470 + 160))
    # an adapter of rank 1 on all four: (10 + 30) + (10 + 10) + (10 + 40) + (40 + 10) = 160, twice, and these train
    lora = count_work(trial(method="lora", rank=1), shape)
    assert lora.step_flops == 12 * (4 * 2470 + 6 * 320 + 3 * 160)
    assert lora.window_flops == 4 * (2 * (2470 + 320) + 160)


@pytest.mark.parametrize("tie_head", [True, False])
def test_the_study_s_full_step_needs_what_the_step_benchmark_counts_whether_or_not_the_head_is_tied(
    tie_head: bool,
) -> None:
    config = trial(batch_size=8, block_size=1024, tie_head=tie_head)
    shape = Shape(layers=24, width=1024, heads=16, batch=8, block=1024)
    assert count_work(config, MEDIUM).step_flops == shape.flops("full")


def test_the_whole_takes_its_steps_and_evaluations_with_that_of_the_base_model() -> None:
    study = choose_trial(load_spec("study"), FULL)
    assert evaluation_windows(study) == 101 * 240
    assert evaluation_windows(trial(steps=5, test_every=2, test_windows=1)) == 4  # at 0, 2, 4 and 5
    work = Work(step_flops=100, window_flops=10)
    assert work.trial_flops(trial()) == 4 * 100 + 15 * 10


def test_hours_follow_from_a_peak_and_an_assumed_share_of_it() -> None:
    assert GPU("some", "bf16", 1e12).hours(36 * 10**14, utilisation=0.5) == 2
    study = choose_trial(load_spec("study"), FULL)
    assert A100.hours(count_work(study, MEDIUM).trial_flops(study)) == pytest.approx(0.87, abs=0.01)


def test_an_arm_that_was_not_timed_takes_longer_as_its_operations_are_more() -> None:
    timed = Pace(Work(100, 10), step_seconds=900, window_seconds=36, response_seconds=18)
    assert timed.trial_hours(trial(), Work(100, 10), responses=10) == (4 * 900 + 15 * 36 + 10 * 18) / 3600
    assert timed.trial_hours(trial(), Work(200, 20), responses=10) == (8 * 900 + 30 * 36 + 10 * 18) / 3600


# ---------------------------------------------------------------------------------------------------------- what is run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_the_preset_s_own_trial_but_for_its_length(case: Case, tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.train.touch()
    files.reward_model.mkdir()
    files.tokenizer.mkdir()
    spec = short_spec(files, REAL, case.variant, case.precision)
    assert (spec.model.name, spec.model.init, spec.model.shape.model_dump(exclude_none=True)) == (
        "gpt2-medium", "random", {},
    )  # fmt: skip
    short = choose_trial(spec, case.arm)
    preset = choose_trial(load_spec("study", [f"variant={case.variant}"] if case.variant else []), case.arm)
    length = {"steps": 20_000, "test_every": 200, "test_windows": 240}
    assert preset.precision == ("auto" if case.variant is None else "fp32")
    assert short.model_copy(update={**length, "precision": preset.precision}) == preset
    assert (short.batch_size, short.block_size, short.precision) == (8, 1024, case.precision)


def test_the_reward_model_has_the_size_of_the_study_s() -> None:
    """435 million weights: 304 in the blocks and 131 in the embedding, as DeBERTa-v3-large's model card says."""
    with torch.device("meta"):
        judge = DebertaV2ForSequenceClassification(reward_config(REAL))
    embedding = judge.deberta.embeddings.word_embeddings.weight.numel()
    assert embedding == 128_100 * 1024
    assert sum(p.numel() for p in judge.parameters()) - embedding == pytest.approx(304e6, rel=0.005)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cases run here, which saves each of them the imports."""

    def run(work: Callable[..., Any], *arguments: object, limit_seconds: int = 0) -> Any:
        return work(*arguments)

    monkeypatch.setattr(full_size, "run_apart", run)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_in_small_the_sweep_s_own_code_takes_the_memory_that_was_predicted() -> None:
    memory, parts, seconds, study = measure(quick=True)
    assert [target.name for target in memory.targets if not target.met] == []
    assert [row["micro-batch"] for row in memory.rows] == [8, 8]
    for row in memory.rows:
        assert row["predicted GiB"] == pytest.approx(row["measured GiB"], rel=0.03)
    for predicted, measured in zip(parts.rows[::2], parts.rows[1::2], strict=True):
        assert all(predicted[f"{name} GiB"] == measured[f"{name} GiB"] for name in ("weights", "optimizer state"))
    *trials, judged = seconds.rows
    assert (
        len({round(float(row["test loss before"] or 0), 2) for row in trials}) == 1
    )  # the same base, the same windows
    assert all(float(row[unit] or 0) > 0 for row in trials for unit in ("s per step", "s per window", "s per response"))
    assert float(judged["s per pair"] or 0) > 0
    assert [row["arm"] for row in study.rows][:2] == [FULL, LORA]
    assert len(study.rows) == 7 + 1
    assert study.rows[1]["days here, fp32"] is not None
    assert study.rows[1]["days here, bf16"] is None  # no such case is among the quick ones


def test_a_case_that_did_not_run_through_is_told_and_the_others_are_kept() -> None:
    case = Case("published", FULL, "fp32")
    figures = Figures({case: "killed, for its memory or after 5 s"}, Judged(2, 1.0, 2**30), 2**34)
    tables: list[Table] = tables_of(figures, TINY)
    [row] = tables[0].rows
    assert row["not measured"] == "killed, for its memory or after 5 s"
    assert [(target.name, target.met) for target in tables[0].targets] == [("cases that ran through", False)]
    assert tables[3].rows[-1]["days here, fp32"] is None


def test_a_process_is_ended_when_its_time_is_up() -> None:
    started = time.monotonic()
    with pytest.raises(BrokenProcessPool):
        run_apart(time.sleep, 60, limit_seconds=1)
    assert time.monotonic() - started < 30
    assert run_apart(signal.alarm, 0, limit_seconds=50) > 0


def test_a_process_ends_with_the_one_that_waits_for_it() -> None:
    """Also in the second generation, as under `python -m benchmarks`."""
    waiting = "import time; from benchmarks.isolate import run_apart; run_apart(run_apart, time.sleep, 1000)"
    ran = subprocess.Popen([sys.executable, "-c", waiting], cwd=ROOT)
    started: list[psutil.Process] = []
    try:
        while len(started) < 2:
            assert ran.poll() is None
            time.sleep(0.05)
            children = psutil.Process(ran.pid).children(recursive=True)
            started = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    finally:
        ran.kill()
        ran.wait()
    _, left = psutil.wait_procs(started, timeout=PATIENCE_SECONDS)
    assert left == []


def test_a_page_of_everything_is_named_by_its_date_alone_and_others_by_what_they_have() -> None:
    assert _suffix(NAMES, quick=False) == ""
    assert _suffix(["full_size"], quick=True) == "-full_size-quick"
    assert _suffix([*NAMES, "full_size"], quick=False).endswith("-packing-full_size")
