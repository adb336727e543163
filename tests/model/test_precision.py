"""Each precision against fp64: gradients, the scaled loss of fp16, and steps that are skipped."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2LMHeadModel

from basis.fields import SCALING_OPTIMIZERS
from model.batch import Batch
from model.gpt2_lora import add_adapters, select_trainable
from model.ledger import NO_LEDGER
from model.lora_linear import LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.precision import products_of_fp32
from model.sft import SFTRun, SFTSettings
from tests.model.test_sft import CPU, batches, small_gpt2


def adapted(method: Any) -> GPT2LMHeadModel:
    model = small_gpt2()
    if method == "lora":
        add_adapters(model, LoRASettings(3, 6), torch.Generator().manual_seed(0))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("lora_B"):  # zeros would hide the gradient of A
                    parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(1))
    select_trainable(model, method)
    return model


def run_of(model: GPT2LMHeadModel, precision: Any, optimizer: Any, clip_norm: float | None = None) -> SFTRun:
    settings = SFTSettings(steps=50, lr=0.01, micro_batch=2, precision=precision, clip_norm=clip_norm)
    return SFTRun(model, build_optimizers(model, OptimizerSettings(optimizer, lr=0.01)), settings, CPU)


def scaled_by(run: SFTRun, scale: float) -> SFTRun:
    """The run with another loss scale."""
    state = run.scaler.state_dict()
    run.scaler.load_state_dict({**state, "scaler": {**state["scaler"], "scale": scale}})
    return run


def gradients_of(model: GPT2LMHeadModel) -> Tensor:
    """Of all that trains, one after another, in fp64."""
    return torch.cat([p.grad.double().flatten() for p in model.parameters() if p.grad is not None])


def by_hugging_face(model: GPT2LMHeadModel, windows: Tensor, fp16: bool) -> Tensor:
    """Gradients by the usual recipe: in fp64, or under autocast to fp16 of a loss that is scaled by 65,536."""
    model, scale = copy.deepcopy(model), 65536.0 if fp16 else 1.0
    with torch.autocast("cpu", dtype=torch.float16, enabled=fp16):
        logits = (model if fp16 else model.double())(windows[:, :-1]).logits.flatten(0, 1)
    (scale * F.cross_entropy(logits.float() if fp16 else logits, windows[:, 1:].flatten())).backward()
    return gradients_of(model) / scale


@pytest.mark.parametrize("method", ["full", "lora"])
def test_gradients_in_fp16_are_as_near_to_fp64_as_those_of_the_usual_recipe(method: Any) -> None:
    model, windows = adapted(method), batches(1)[0]
    exact, theirs = (by_hugging_face(model, windows, fp16) for fp16 in (False, True))
    run = run_of(model, "fp16", "sgd")
    scale = run.scaler.scale
    assert scale is not None
    for micro in windows.split(2):
        run._loss(Batch(micro), windows[:, 1:].numel(), scale, NO_LEDGER).backward()
    ours = gradients_of(model) / float(scale)
    error, reference = (float((g - exact).norm() / exact.norm()) for g in (ours, theirs))
    assert error < 1.3 * reference + 1e-4  # what is rounded when differs; how much is lost does not
    assert error < 5e-3  # fp16 keeps 11 bits


def test_a_run_in_fp16_follows_the_losses_of_one_in_fp32() -> None:
    exact, rounded = (run_of(adapted("full"), precision, "adamw") for precision in ("fp32", "fp16"))
    for windows in batches(6):
        losses = [run.train_step(Batch(windows)).item() for run in (rounded, exact)]
        assert losses[0] == pytest.approx(losses[1], rel=5e-3)
    assert (exact.scaler.skipped_steps(), rounded.scaler.skipped_steps()) == (None, 0)


@pytest.mark.parametrize("optimizer", SCALING_OPTIMIZERS)
def test_a_first_step_whose_gradients_overflow_is_counted_and_leaves_no_trace(optimizer: Any) -> None:
    first, *others = batches(3)
    skipped, fresh = (run_of(adapted("full"), "fp16", optimizer, clip_norm=1.0) for _ in range(2))
    before = [p.detach().clone() for p in skipped.model.parameters()]
    scaled_by(skipped, 2.0**40).train_step(Batch(first))
    assert all(map(torch.equal, before, skipped.model.parameters()))
    assert (skipped.scaler.skipped_steps(), skipped.scaler.last_scale()) == (1, 2.0**39)
    scaled_by(skipped, 1024.0), scaled_by(fresh, 1024.0)
    for windows in others:
        assert skipped.train_step(Batch(windows)).item() == fresh.train_step(Batch(windows)).item()
    assert (skipped.scaler.skipped_steps(), fresh.scaler.skipped_steps()) == (1, 0)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize("skipped", [0, 2])
def test_a_run_resumed_right_after_a_skipped_step_goes_on_to_the_bit(optimizer: Any, skipped: int) -> None:
    whole, stopped = (run_of(adapted("full"), "fp16", optimizer, clip_norm=1.0) for _ in range(2))
    for step, windows in enumerate(batches(5)):
        if step == skipped:
            scaled_by(whole, 2.0**30), scaled_by(stopped, 2.0**30)
        assert whole.train_step(Batch(windows)).item() == stopped.train_step(Batch(windows)).item()
        if step == skipped:
            state = copy.deepcopy(stopped.state_dict())
            stopped = run_of(adapted("full"), "fp16", optimizer, clip_norm=1.0)
            stopped.load_state_dict(state)
            scaled_by(whole, 4096.0), scaled_by(stopped, 4096.0)
    assert all(map(torch.equal, whole.model.parameters(), stopped.model.parameters()))
    assert whole.scaler.skipped_steps() == stopped.scaler.skipped_steps() == 1


def test_products_are_in_tf32_within_a_step_of_that_precision_alone() -> None:
    torch.set_float32_matmul_precision("high")  # as a user's environment may have it
    with products_of_fp32("fp32"):
        assert torch.get_float32_matmul_precision() == "highest"
    with products_of_fp32("tf32"):
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_checkpoint_without_a_loss_scale_is_refused_by_a_run_in_fp16() -> None:
    run = run_of(adapted("full"), "fp16", "sgd")
    with pytest.raises(ValueError, match="lacks the loss scale"):
        run.load_state_dict({**run.state_dict(), "scaler": {}})
