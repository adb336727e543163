"""One trial without Ray: what it reports, that a stopped one continues to the bit, and that a finished one replays."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters

from basis.directory import (
    CHECKPOINT_FILE,
    FINISHED_FILE,
    RESPONSES_FILE,
    TRAINED_FILE,
    WINDOW_LOSSES_FILE,
    base_responses_file,
)
from basis.metrics import METRIC, NOT_JUDGED
from basis.stages import Stage
from model.batch import Batch
from model.sft import SFTRun
from sweep import reward_metric
from sweep.data import batches
from sweep.data.batches import TrainBatches
from sweep.data.token_files import open_examples
from sweep.data.windows import open_tokens
from sweep.inputs import SweepInputs
from sweep.memory.device import Device
from sweep.memory.plan import plan_trial
from sweep.memory.shape import read_shape
from sweep.trial.config import TrialConfig
from sweep.worker import judging, training, trial_run
from sweep.worker.opening import open_trial
from sweep.worker.trial_run import TrialRun

TIMES = {
    *("step_seconds", "tokens_per_second", "train_seconds", "evaluation_seconds", "reward_seconds"),
    *("clock_seconds", "judged_clock_seconds"),
}


def config(**changes: Any) -> TrialConfig:
    values = {
        "method": "lora",
        "rank": 2,
        "optimizer": "adamw",
        "lr": 1e-2,
        "schedule": "cosine",
        "warmup_steps": 2,
        "clip_norm": 1.0,
        "dropout": 0.1,
        "steps": 9,
        "batch_size": 4,
        "micro_batch": 2,
        "block_size": 32,
        "test_every": 2,
        "test_windows": 4,
        "seed": 3,
    }
    full = {"rank": None} if changes.get("method") == "full" else {}
    return TrialConfig.model_validate({**values, **full, **changes})


def finish(trial: TrialRun) -> list[dict[str, Any]]:
    rows = [trial.advance()]
    while not rows[-1].get("finished"):
        rows.append(trial.advance())
    trial.close()
    return rows


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def with_bytes(inputs: SweepInputs, each: int = 3) -> SweepInputs:
    """The inputs with test tokens of which each stands for so many bytes of text."""
    tokens = inputs.experiment_dir / "test.npy"
    shutil.copy(inputs.test_tokens, tokens)
    np.save(tokens.with_name("test_bytes.npy"), np.full(len(open_tokens(tokens)), each, np.uint16))
    return replace(inputs, test_tokens=tokens)


def test_a_trial_reports_every_metric_and_keeps_its_results(inputs: SweepInputs) -> None:
    plan = plan_trial(config(), read_shape(inputs.base_model, "model.name"), Device("cpu"), None)
    trial = open_trial(config(), replace(with_bytes(inputs), general_tokens=inputs.train_tokens), plan=plan)
    rows = finish(trial)

    assert [row["step"] for row in rows] == [0, 2, 4, 6, 8, 9]
    not_here = {"reserved_peak_bytes", "validation_loss", "skipped_steps"}  # for CUDA, search 'tuned' and fp16
    assert METRIC.keys() - not_here == rows[-1].keys() - {"finished", "peak_source", "device", "place"}
    assert rows[-1]["test_loss"] < rows[0]["test_loss"]
    assert rows[-1]["wins"] + rows[-1]["ties"] + rows[-1]["losses"] == len(inputs.prompts)
    responses = [json.loads(line) for line in (trial.folder / RESPONSES_FILE).read_text().splitlines()]
    assert [r["prompt"] for r in responses] == [prompt.text for prompt in inputs.prompts]
    assert sum(r["reward"] > r["base_reward"] for r in responses) == rows[-1]["wins"]
    assert all("lora_" in name for name in load_file(trial.folder / TRAINED_FILE))
    assert not (trial.folder / CHECKPOINT_FILE).exists()
    kept = json.loads((trial.folder / WINDOW_LOSSES_FILE).read_text())
    assert kept.keys() == {"test_loss", "general_loss", "general_loss_base"}
    assert len(kept["test_loss"]) == config().test_windows
    assert np.mean(kept["test_loss"]) == rows[-1]["test_loss"]


def test_bits_per_byte_are_those_of_the_text_that_the_test_targets_stand_for(inputs: SweepInputs) -> None:
    rows = finish(open_trial(config(), with_bytes(inputs, each=3)))
    for row in rows:
        assert row["test_bits_per_byte"] == pytest.approx(row["test_loss"] / math.log(2) / 3)


class Masked(TrainBatches):
    """Rows of 20 inputs and 12 of padding, of which the targets 4 to 11 count."""

    def at(self, step: int) -> Batch:
        scored = torch.arange(4 * 32).view(4, 32)[:, 4:12].flatten()
        return replace(super().at(step), scored=scored, lengths=torch.full((4,), 20))


def test_tokens_seen_are_inputs_without_padding_and_scored_ones_their_targets(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in finish(open_trial(config(), inputs)):
        assert row["tokens_seen"] == row["scored_tokens_seen"] == row["step"] * 4 * 32
    monkeypatch.setattr(training, "TrainBatches", Masked)
    stopped = open_trial(config(steps=8), inputs)
    while stopped.advance()["step"] < 4:
        pass
    stopped.close()
    rows = finish(open_trial(config(steps=8), inputs))
    assert [row["tokens_seen"] for row in rows] == [row["step"] * 4 * 20 for row in rows]
    assert [row["scored_tokens_seen"] for row in rows] == [row["step"] * 4 * 8 for row in rows]


def test_a_tuning_trial_sees_neither_test_windows_nor_prompts(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(batches, "open_examples", lambda path: opened.append(path) or open_examples(path))
    monkeypatch.setattr(trial_run, "judge", lambda *_: pytest.fail("judged"))
    validation = inputs.experiment_dir / "validation.npy"
    shutil.copy(inputs.train_tokens, validation)
    held_out = replace(inputs, validation_tokens=validation)
    trial = open_trial(config(evaluate_on=Stage.TUNING), held_out)
    rows = finish(trial)
    assert {*opened} == {inputs.train_tokens, validation}
    assert all("validation_loss" in row and "test_loss" not in row for row in rows)
    assert json.loads((trial.folder / WINDOW_LOSSES_FILE).read_text()).keys() == {"validation_loss"}
    assert not (trial.folder / RESPONSES_FILE).exists()


def test_after_tuning_the_test_windows_are_evaluated_once(inputs: SweepInputs) -> None:
    held_out = replace(inputs, validation_tokens=inputs.test_tokens)  # so that the two losses can be compared
    rows = finish(open_trial(config(evaluate_on=Stage.FINAL), held_out))
    assert ["test_loss" in row for row in rows] == [False] * (len(rows) - 1) + [True]
    assert rows[-1]["test_loss"] == rows[-1]["validation_loss"]
    assert "wins" in rows[-1]
    tested_throughout = finish(open_trial(config(), held_out))
    assert rows[-1]["test_loss"] == tested_throughout[-1]["test_loss"], "what is evaluated changes nothing in training"


@pytest.mark.parametrize(
    ("method", "optimizer", "precision"),
    [  # every optimizer by itself: tests/model/test_library_optimizers.py, tests/model/test_sft.py
        *(("full", name, "fp32") for name in ("momentum", "adafactor", "muon", "schedulefreeadamw", "galore")),
        *(("lora", name, "fp32") for name in ("sgd", "nesterov", "adamw", "adamw8bit")),
        ("full", "adamw", "bf16"),
        ("lora", "adamw", "fp16"),
        ("full", "momentum", "fp16"),
    ],
)
def test_a_trial_stopped_and_resumed_gives_the_losses_of_one_that_never_stopped(
    inputs: SweepInputs, method: str, optimizer: str, precision: str
) -> None:
    two_rates = {"b_lr_ratio": 4.0} if method == "lora" else {}
    check_resumed(config(method=method, optimizer=optimizer, precision=precision, **two_rates), inputs)


@pytest.mark.parametrize(("method", "precision"), [("pissa", "bf16"), ("vera", "fp32"), ("vblora", "fp32")])
def test_a_trial_with_adapters_of_peft_resumes_to_the_bit(inputs: SweepInputs, method: str, precision: str) -> None:
    options = {"peft": {"vector_length": 8, "num_vectors": 8}} if method == "vblora" else {}
    check_resumed(config(method=method, precision=precision, **options), inputs)


def check_resumed(cfg: TrialConfig, inputs: SweepInputs) -> None:
    whole = open_trial(cfg, inputs)
    expected = finish(whole)
    elsewhere = inputs.experiment_dir / "elsewhere"
    elsewhere.mkdir()
    inputs = replace(inputs, experiment_dir=elsewhere)

    stopped = open_trial(cfg, inputs)
    for _ in range(3):  # rows of steps 0, 2 and 4; checkpointed at 4
        stopped.advance()
    stopped.close()
    torch.manual_seed(12345)  # whatever another trial left behind
    resumed = open_trial(cfg, inputs)
    assert resumed._training is not None
    assert resumed._training.run.step == 4
    rows = finish(resumed)

    assert timeless(rows) == timeless(expected)
    ours, theirs = load_file(resumed.folder / TRAINED_FILE), load_file(whole.folder / TRAINED_FILE)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_bf16_trial_is_judged_in_fp32_so_that_an_adapter_that_learnt_nothing_ties(inputs: SweepInputs) -> None:
    row = finish(open_trial(config(precision="bf16", lr=1e-12), inputs))[-1]
    assert (row["wins"], row["ties"], row["losses"]) == (0, len(inputs.prompts), 0)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler for its CPU code")
def test_compiled_trials_of_one_worker_give_the_losses_of_plain_ones_and_leave_no_compiled_block(
    inputs: SweepInputs,
) -> None:
    for rank in (1, 2):
        cfg = {"rank": rank, "steps": 4, "test_every": 2, "dropout": 0.0}
        counters.clear()
        compiled = finish(open_trial(config(**cfg, compile=True), inputs))
        assert counters["stats"]["unique_graphs"] >= 2, "training or evaluation of a trial was not compiled (anew)"
        plain = finish(open_trial(config(**cfg), inputs))
        for row, reference in zip(compiled, plain, strict=True):
            assert row["test_loss"] == pytest.approx(reference["test_loss"], rel=1e-5)


def test_a_trial_stopped_after_one_step_reports_the_peak_of_one_that_never_stopped(inputs: SweepInputs) -> None:
    cfg = config(method="full", test_every=1, steps=3)
    expected = finish(open_trial(cfg, inputs))
    (inputs.experiment_dir / cfg.name / FINISHED_FILE).unlink()
    stopped = open_trial(cfg, inputs)
    stopped.advance()
    stopped.advance()
    stopped.close()
    assert timeless(finish(open_trial(cfg, inputs))) == timeless(expected)


def test_when_judging_fails_the_losses_stand_and_the_next_run_judges_what_was_kept(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finish(open_trial(config(), inputs))
    (inputs.experiment_dir / config().name / FINISHED_FILE).unlink()

    def broken(*_: object) -> None:
        raise RuntimeError("the reward model is broken\nand more")

    with monkeypatch.context() as patched:
        patched.setattr(judging, "evaluate_reward", broken)
        rows = finish(open_trial(config(), inputs))
    assert rows[-1][NOT_JUDGED] == "RuntimeError: the reward model is broken"
    assert rows[-1]["test_loss"] == expected[-1]["test_loss"]
    assert not {"wins", "win_rate", "reward_mean"} & rows[-1].keys()
    monkeypatch.setattr(SFTRun, "train_step", lambda *_: pytest.fail("trained again"))
    unasked = replace(inputs, reward=inputs.reward.model_copy(update={"model": None}))
    assert finish(open_trial(config(), unasked)) == rows
    assert timeless(finish(open_trial(config(), inputs))) == timeless(expected)
    assert timeless(finish(open_trial(config(), inputs))) == timeless(expected), "judged again"


def test_a_failure_of_the_accelerator_in_judging_ends_the_process_use_of_it_and_keeps_what_was_trained(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered\nand more")

    failing = open_trial(config(), inputs)
    with monkeypatch.context() as patched:
        patched.setattr(judging, "evaluate_reward", broken)
        with pytest.raises(torch.AcceleratorError):
            finish(failing)
    failing.close()
    last = json.loads((failing.folder / FINISHED_FILE).read_text())["rows"][-1]
    assert last[NOT_JUDGED] == "AcceleratorError: CUDA error: device-side assert triggered"
    assert last["test_loss"] > 0
    monkeypatch.setattr(SFTRun, "train_step", lambda *_: pytest.fail("trained again"))
    confined: list[object] = []
    monkeypatch.setattr(trial_run, "limit_memory", lambda _, limit_bytes: confined.append(limit_bytes))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: confined.append(count))
    row = finish(open_trial(config(), inputs, limit_bytes=2**30))[-1]
    assert "win_rate" in row
    assert NOT_JUDGED not in row
    assert confined == [1, 2**30, None], "judged outside the trial's share"


def test_a_trial_that_was_judging_when_its_process_died_is_judged_without_training_again(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finish(open_trial(config(), inputs))
    (inputs.experiment_dir / config().name / FINISHED_FILE).unlink()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    dying = open_trial(config(), replace(inputs, checkpoint_seconds=1e9))
    with monkeypatch.context() as patched:
        patched.setattr(judging, "evaluate_reward", killed)
        with pytest.raises(KeyboardInterrupt):
            finish(dying)
    dying.close()
    monkeypatch.setattr(SFTRun, "train_step", lambda *_: pytest.fail("trained again"))
    assert timeless(finish(open_trial(config(), inputs))) == timeless(expected)


def scoring(values: dict[str, float]) -> Any:
    """A judge's scores: those of the responses named, and 0.5 for others."""
    return lambda model, prompts, responses, *_: [values.get(prompt, 0.5) for prompt in prompts]


def test_a_reward_that_is_no_number_is_no_loss_and_is_counted_apart(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan, infinite = (prompt.text for prompt in inputs.prompts[:2])
    monkeypatch.setattr(reward_metric, "score", scoring({nan: math.nan, infinite: -math.inf}))
    trial = open_trial(config(method="full", lr=1e-2), inputs)
    row = finish(trial)[-1]
    assert row["unscored"] == 2
    assert row["wins"] + row["ties"] + row["losses"] == len(inputs.prompts) - 2
    assert (row["wins"], row["losses"]) == (0, 0)
    assert row["reward_mean"] == row["reward_base_mean"] == 0.5
    for path in (trial.folder / RESPONSES_FILE, inputs.experiment_dir / base_responses_file(None)):
        lines = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
        assert [line["reward"] for line in lines[:2]] == [None, None]
    json.loads((trial.folder / FINISHED_FILE).read_text(), parse_constant=pytest.fail)


def test_if_no_reward_is_a_number_judging_has_failed_and_the_losses_are_kept(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reward_metric, "score", lambda model, prompts, *_: [math.nan] * len(prompts))
    row = finish(open_trial(config(), inputs))[-1]
    assert row[NOT_JUDGED] == "JudgingError: for none of 6 prompts both rewards are finite numbers"
    assert row["finished"]
    assert row["test_loss"] > 0
    assert "win_rate" not in row


def test_a_finished_trial_replays_its_rows_without_training(inputs: SweepInputs) -> None:
    rows = finish(open_trial(config(), inputs))
    again = open_trial(config(), inputs)
    assert again._training is None
    assert finish(again) == rows


def test_a_reused_process_gives_the_figures_of_a_fresh_one(inputs: SweepInputs) -> None:
    small, large = config(), config(method="full", optimizer="adamw")
    alone = finish(open_trial(small, inputs))
    (inputs.experiment_dir / small.name / FINISHED_FILE).unlink()
    finish(open_trial(large, inputs))
    after_a_neighbour = finish(open_trial(small, inputs))
    assert timeless(after_a_neighbour) == timeless(alone)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_micro_batches_add_up_to_the_batch(inputs: SweepInputs, dropout: float) -> None:
    whole = finish(open_trial(config(micro_batch=None, dropout=dropout), inputs))
    parts = finish(open_trial(config(micro_batch=1, dropout=dropout), inputs))
    assert parts[-1]["test_loss"] == pytest.approx(whole[-1]["test_loss"], abs=1e-5)  # fp32 sums in another order
    assert parts[-1]["peak_bytes"] < whole[-1]["peak_bytes"]


def test_a_loss_that_is_not_finite_stops_the_trial_and_says_where(inputs: SweepInputs) -> None:
    trial = open_trial(config(method="full", optimizer="sgd", lr=1e6, clip_norm=None, schedule="constant"), inputs)
    with pytest.raises(FloatingPointError, match=r"loss became (nan|inf) by step \d+ \(lr 1e\+06\)"):
        finish(trial)
    trial.close()
    with pytest.raises(FloatingPointError, match=r"loss became"):  # known by now: not trained again
        open_trial(trial.config, inputs)


def test_two_seeds_train_on_different_windows_and_test_on_the_same(inputs: SweepInputs) -> None:
    one, two = open_trial(config(), inputs), open_trial(config(seed=4), inputs)
    assert torch.equal(
        one._training._held_out["test_loss"].batch.tokens, two._training._held_out["test_loss"].batch.tokens
    )
    assert not torch.equal(one._training._batches.at(0).tokens, two._training._batches.at(0).tokens)
    one.close()
    two.close()
