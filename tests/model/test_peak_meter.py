"""Peaks counted on real steps."""

import gc
from typing import Literal

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from model.batch import Batch
from model.gpt2_lora import add_adapters, select_trainable
from model.lora_linear import LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.peak_meter import AllocationRecord, PeakMeter
from model.sft import SFTRun, SFTSettings
from model.tensor_bytes import (
    gradient_bytes,
    optimizer_state_bytes,
    weight_bytes,
)

CPU = torch.device("cpu")


def small_run(
    optimizer: Literal["sgd", "momentum", "nesterov", "adamw"], rank: int | None = None, micro_batch: int = 4
) -> SFTRun:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=500, n_positions=64, n_embd=64, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    if rank:
        add_adapters(model, LoRASettings(rank, 1.0), torch.Generator().manual_seed(0))
    select_trainable(model, "lora" if rank else "full")
    settings = OptimizerSettings(optimizer, lr=1e-3)
    return SFTRun(model, build_optimizers(model, settings), SFTSettings(steps=4, lr=1e-3, micro_batch=micro_batch), CPU)


def test_the_peak_lies_between_the_parts_that_must_coexist_and_a_generous_bound() -> None:
    run = small_run("adamw")
    meter = PeakMeter(run)
    windows = torch.randint(0, 500, (4, 65))
    for _ in range(3):
        meter.train_step(Batch(windows))
    logits_bytes = 4 * 64 * 500 * 4
    weights, state = weight_bytes(run.model), optimizer_state_bytes(run.optimizers)
    assert meter.source == "cpu tensors"
    assert meter.peak_bytes >= weights + state + logits_bytes
    assert meter.peak_bytes <= weights + state + gradient_bytes(run.model) + 30 * logits_bytes
    assert meter.retained_delta_bytes == pytest.approx(state, abs=4096)  # a few scalars live on besides


def test_the_peak_follows_the_batch_and_the_optimizer() -> None:
    def peak(optimizer: Literal["sgd", "adamw"], batch: int) -> int:
        run = small_run(optimizer, micro_batch=batch)
        meter = PeakMeter(run)
        for _ in range(2):
            meter.train_step(Batch(torch.randint(0, 500, (batch, 65))))
        return meter.peak_bytes

    assert peak("sgd", 8) > 1.5 * peak("sgd", 2)
    state = 2 * gradient_bytes(small_run("adamw").model)  # two tensors of each parameter's shape
    assert peak("adamw", 8) - peak("sgd", 8) == pytest.approx(state, rel=0.05)


def test_what_measuring_takes_does_not_grow_with_the_number_of_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be a profile of everything that 64 passes do: a trial of 7 MiB then dies under a limit of 300 MiB."""
    recorded: list[int] = []
    real = AllocationRecord.stop

    def stop(record: AllocationRecord) -> None:
        real(record)
        recorded.append(record.net)

    monkeypatch.setattr(AllocationRecord, "stop", stop)
    windows = torch.randint(0, 500, (6, 17))
    for micro_batch in (6, 3, 2, 1):
        gc.collect()  # what an earlier test has left would be freed within a record, and count
        run = small_run("adamw", micro_batch=micro_batch)
        meter = PeakMeter(run)
        recorded.clear()
        for _ in range(3):
            meter.train_step(Batch(windows))
        assert len(recorded) == 2 * (1 if micro_batch >= 3 else 2)  # first passes and update, where others lie between
        assert meter.retained_delta_bytes == pytest.approx(optimizer_state_bytes(run.optimizers), abs=4096)
        assert meter.parts is not None
        assert meter.parts.total == meter.peak_bytes
        whole, again = AllocationRecord(), small_run("adamw", micro_batch=micro_batch)
        whole.start()
        for _ in range(2):
            again.train_step(Batch(windows))
        real(whole)
        # the passes left out leave the last one's labels, positions and scalars until the update: less than the batch
        assert meter.peak_bytes == pytest.approx(meter.baseline_bytes + whole.highest, abs=windows.nbytes)


def test_measuring_does_not_change_what_is_computed() -> None:
    windows = torch.randint(0, 500, (4, 33))
    plain, measured = small_run("adamw"), small_run("adamw")
    meter = PeakMeter(measured)
    for _ in range(4):
        assert torch.equal(plain.train_step(Batch(windows)), meter.train_step(Batch(windows)))
