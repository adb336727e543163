"""Trials whose memory runs out: what they leave, how they are tried once more, and that a real sweep goes on."""

import gc
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from basis.directory import CHECKPOINT_FILE, FINISHED_FILE, OUT_OF_MEMORY_FILE, RESPONSES_FILE
from basis.metrics import NOT_JUDGED
from model.batch import Batch
from model.ledger import NO_LEDGER, StepLedger
from model.sft import SFTRun
from sweep.inputs import SweepInputs
from sweep.memory.attempts import Attempt, OutOfMemoryError, add_attempt, read_attempts
from sweep.memory.device import Device
from sweep.memory.plan import MemoryPlan, plan_trial
from sweep.memory.shape import read_shape
from sweep.worker import judging, trial_run
from sweep.worker.opening import open_trial
from sweep.worker.trial_run import TrialRun
from tests.conftest import Parts, run
from tests.sweep.test_trainable import steps, worker
from tests.sweep.worker.test_trial_run import config, finish, timeless

NO_MEMORY = "CUDA out of memory. Tried to allocate 3.00 MiB"


def failing_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run that takes four windows at once run out of memory at this step."""
    real = SFTRun.train_step

    def train_step(run: SFTRun, batch: Batch, ledger: StepLedger = NO_LEDGER) -> torch.Tensor:
        if run.step == step and run.settings.micro_batch == 4:
            raise torch.OutOfMemoryError(NO_MEMORY)
        return real(run, batch, ledger)

    monkeypatch.setattr(SFTRun, "train_step", train_step)


def planned(inputs: SweepInputs) -> TrialRun:
    cfg = config(micro_batch=None)
    plan = plan_trial(cfg, read_shape(inputs.base_model, "model.name"), Device("cpu"), None)
    return open_trial(cfg, inputs, plan=plan, limit_bytes=None)


def test_a_trial_that_ran_out_leaves_what_it_reached_and_goes_on_with_less(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(5, monkeypatch)
    first = planned(inputs)
    with pytest.raises(OutOfMemoryError, match=r"in training with micro-batch 4: predicted .* MiB, reached"):
        finish(first)
    [attempt] = read_attempts(first.folder)
    assert attempt.during == "training"
    assert attempt.micro_batch == 4
    assert attempt.predicted_bytes is not None
    assert attempt.asked_bytes == 3 * 2**20
    assert attempt.reached_bytes > attempt.asked_bytes
    assert first._training is None  # let go of
    assert (first.folder / CHECKPOINT_FILE).exists()

    second = planned(inputs)
    rows = finish(second)
    assert [row["micro_batch"] for row in rows if row["step"] > 4] == [2, 2, 2]
    assert [row["micro_batch"] for row in rows if row["step"] <= 4] == [4, 4, 4]  # kept from the checkpoint
    assert rows[-1]["predicted_peak_bytes"] == pytest.approx(rows[-1]["peak_bytes"], rel=0.08)
    assert rows[-1]["peak_bytes"] < rows[2]["peak_bytes"]


def test_a_trial_that_ran_out_twice_is_not_tried_again(inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = inputs.experiment_dir / config(micro_batch=None).name
    folder.mkdir()
    attempt = Attempt("training", 4, False, 10 * 2**20, 12 * 2**20, 2**20, 11 * 2**20)
    add_attempt(folder, attempt)
    add_attempt(folder, replace(attempt, micro_batch=2))
    monkeypatch.setattr(trial_run, "Training", lambda *_: pytest.fail("trained"))
    with pytest.raises(OutOfMemoryError) as ran_out:
        planned(inputs)
    assert str(ran_out.value) == (
        "in training with micro-batch 2: predicted 10.0 MiB, reached 12.0 MiB; the process is allowed 11.0 MiB"
    )


def test_a_sweep_that_is_continued_gives_a_trial_that_ran_out_twice_another_chance(inputs: SweepInputs) -> None:
    cfg = config(micro_batch=None)
    (inputs.experiment_dir / cfg.name).mkdir()
    for at in (1.0, 2.0):
        add_attempt(inputs.experiment_dir / cfg.name, Attempt("training", 4, False, None, 2**20, 0, None, at=at))
    rows = finish(planned(replace(inputs, began=3.0)))
    assert rows[-1]["micro_batch"] == 4
    assert len(read_attempts(inputs.experiment_dir / cfg.name)) == 2  # the report still tells of them


def test_other_failures_leave_no_attempt(inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(SFTRun, "train_step", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        finish(planned(inputs))
    assert not read_attempts(inputs.experiment_dir / config(micro_batch=None).name)


def test_judging_takes_smaller_batches_where_memory_runs_out_and_answers_the_same(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = planned(inputs)
    finish(expected)
    answers = (expected.folder / RESPONSES_FILE).read_text()
    (expected.folder / FINISHED_FILE).unlink()
    real, sizes = judging.evaluate_reward, []

    def evaluate_reward(model: Any, tokenizer: Any, prompts: Any, reward: Any, *rest: Any) -> dict[str, Any]:
        sizes.append(reward.batch_size)
        if reward.batch_size > 8:
            raise torch.OutOfMemoryError(NO_MEMORY)
        return real(model, tokenizer, prompts, reward, *rest)

    monkeypatch.setattr(judging, "evaluate_reward", evaluate_reward)
    again = planned(inputs)
    finish(again)
    assert sizes == [32, 16, 8]
    assert [json.loads(line)["response"] for line in (again.folder / RESPONSES_FILE).read_text().splitlines()] == [
        json.loads(line)["response"] for line in answers.splitlines()
    ]


@pytest.mark.slow
def test_memory_that_runs_out_in_judging_leaves_a_finished_trial_whoever_tries_again(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finish(planned(inputs))
    (inputs.experiment_dir / config(micro_batch=None).name / FINISHED_FILE).unlink()

    def too_large(*_: object) -> None:
        raise torch.OutOfMemoryError(NO_MEMORY)

    with monkeypatch.context() as patched:
        patched.setattr(judging, "evaluate_reward", too_large)
        first = planned(inputs)
        with pytest.raises(OutOfMemoryError, match=r"^in judging: reached [^:]*$"):
            finish(first)
        last = json.loads((first.folder / FINISHED_FILE).read_text())["rows"][-1]
        assert last[NOT_JUDGED] == f"OutOfMemoryError: {NO_MEMORY}"
        assert last["test_loss"] == expected[-1]["test_loss"]
        assert finish(planned(inputs))[-1] == last, "the last attempt ends with what is kept"
    monkeypatch.setattr(SFTRun, "train_step", lambda *_: pytest.fail("trained again"))
    assert timeless(finish(planned(inputs))) == timeless(expected)


def test_memory_that_runs_out_before_training_is_told_as_judging_and_the_plan_stays(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BeganError(Exception):
        """Training, as it was planned."""

    def begin(config: object, inputs: object, plan: MemoryPlan, limit_bytes: object) -> None:
        raise BeganError(plan.execution.micro_batch)

    def too_large(*_: object) -> None:
        raise torch.OutOfMemoryError(NO_MEMORY)

    on_gpu = replace(inputs, packing=replace(inputs.packing, device=Device("cuda")))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("limit_memory", "release_memory"):
        monkeypatch.setattr(trial_run, name, lambda *_: None)
    monkeypatch.setattr(trial_run, "allocated_bytes", lambda _: 2**20)
    monkeypatch.setattr(trial_run, "Training", begin)
    monkeypatch.setattr(trial_run, "base_answers", too_large)
    with pytest.raises(OutOfMemoryError, match=r"^in judging: reached 4\.0 MiB$"):
        planned(on_gpu)
    [attempt] = read_attempts(inputs.experiment_dir / config(micro_batch=None).name)
    assert (attempt.during, attempt.predicted_bytes) == ("judging", None)
    monkeypatch.setattr(trial_run, "base_answers", lambda *_: [])
    with pytest.raises(BeganError, match="4"):
        planned(on_gpu)


def tensors_alive() -> int:
    """Bytes of all tensors that Python can reach."""
    gc.collect()
    found = [o for o in gc.get_objects() if isinstance(o, torch.Tensor) and not o.is_meta]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in found}
    return sum(storages.values())


@pytest.mark.slow
def test_ten_trials_in_one_worker_leave_nothing_allocated(inputs: SweepInputs) -> None:
    trials = [
        config(seed=seed, method=method, optimizer=optimizer).model_dump(mode="json")
        for seed, (method, optimizer) in enumerate([("lora", "adamw"), ("full", "momentum")] * 5)
    ]
    reused = worker(inputs, trials[0])
    baselines, during, left = [], [], []
    for trial in trials:
        if trial != trials[0]:
            assert reused.reset_config(trial)
        baselines.append(reused.step()["peak_bytes"])
        during.append(tensors_alive())
        steps(reused)
        reused.trial_run.close()
        left.append(tensors_alive())
    reused.cleanup()
    assert min(during) - left[0] > 100_000  # the weights
    assert len(set(left)) == 1
    assert baselines[:2] * 5 == baselines


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit for CPU processes is Linux's RLIMIT_DATA")
def test_one_trial_of_a_real_sweep_runs_out_and_finishes_with_less_while_the_others_go_on(
    parts: Parts, environment: dict[str, str], tmp_path: Path
) -> None:
    """The large one wants 1 GiB; its process is allowed 600 MiB, of which Python and the profiler need a part."""
    experiment = tmp_path / "out"
    ran = run(environment, one_too_large(parts, tmp_path), "--output", experiment, at_once=2)
    assert ran.returncode == 0, ran.stdout
    assert "3 finished, 0 failed" in ran.stdout
    assert "will be tried once more: OutOfMemoryError: in training with micro-batch 256" in ran.stdout
    [path] = experiment.glob(f"*/{OUT_OF_MEMORY_FILE}")
    [attempt] = read_attempts(path.parent)
    assert attempt.limit_bytes == 600 * 2**20
    assert attempt.predicted_bytes is not None
    assert attempt.limit_bytes / 2 < attempt.reached_bytes < attempt.predicted_bytes
    last = json.loads((path.parent / FINISHED_FILE).read_text())["rows"][-1]
    assert last["micro_batch"] <= 128
    assert last["predicted_peak_bytes"] == pytest.approx(last["peak_bytes"], rel=0.02)
    assert "ran out of memory" in (experiment / "report" / "report.md").read_text()


def one_too_large(parts: Parts, folder: Path) -> Path:
    """A spec of three trials, the second of which needs more memory than a process is allowed."""
    shape = {"n_layer": 4, "n_embd": 256, "n_head": 4, "n_positions": 64, "vocab_size": 1024}
    arm = {"method": "lora", "rank": 1, "optimizer": "sgd"}
    return parts.write_spec(
        folder,
        model={"name": "gpt2", "init": "random", "shape": shape, "tokenizer": str(parts.model)},
        space=[{**arm, "lr": 1e-3}, {**arm, "lr": 2e-3, "batch_size": 256}, {**arm, "lr": 3e-3}],
        trial={"steps": 2, "batch_size": 4, "block_size": 64, "test_every": 2, "test_windows": 4},
        reward={"model": None},
        memory={"limit": "600MiB"},
    )
