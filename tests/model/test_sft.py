"""The training step against a plain PyTorch loop, and schedules against their formulas."""

import itertools
import math
import shutil
from dataclasses import replace
from types import MethodType
from typing import Any

import loralib
import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.utils import counters
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from transformers import GPT2Config, GPT2LMHeadModel

from basis.fields import PROJECTION_TARGETS, SCALING_OPTIMIZERS
from model.batch import Batch
from model.gpt2_lora import add_adapters, select_trainable, trained_parameters
from model.lora_linear import LoRALinear, LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers, learning_rate
from model.sft import SFTRun, SFTSettings, training_kernels
from tests.architectures import tiny_model

CPU = torch.device("cpu")


def small_gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=61, n_positions=32, n_embd=24, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def batches(count: int) -> list[torch.Tensor]:
    torch.manual_seed(7)
    return [torch.randint(0, 61, (4, 17)) for _ in range(count)]


REFERENCES = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01, momentum=0.9, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.01, betas=(0.9, 0.95)),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("micro_batch", [4, 3, 1])
def test_the_step_follows_a_plain_pytorch_loop(name: Any, micro_batch: int) -> None:
    reference = small_gpt2().double()
    optimizer = REFERENCES[name](reference.parameters())
    ours = small_gpt2().double()
    select_trainable(ours, "full")
    run = SFTRun(
        ours,
        build_optimizers(ours, OptimizerSettings(name, lr=0.1, weight_decay=0.01)),
        SFTSettings(steps=8, lr=0.1, micro_batch=micro_batch, schedule="cosine", warmup_steps=2, clip_norm=0.5),
        CPU,
    )
    for step, windows in enumerate(batches(8)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(0.1, "cosine", 2, 8, step)
        loss = F.cross_entropy(reference(windows[:, :-1]).logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.5)
        optimizer.step()
        assert run.train_step(Batch(windows)).item() == pytest.approx(loss.item(), rel=1e-9)


SCORED = torch.tensor([3, 4, 5, 15, 48, 49, 63])
"""Of four windows of 16 targets each: of the second and the third one, none counts."""


@pytest.mark.parametrize("micro_batch", [4, 3, 1])
def test_only_scored_targets_train_and_a_pass_may_have_none(micro_batch: int) -> None:
    reference, ours = small_gpt2().double(), small_gpt2().double()
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1)
    settings = SFTSettings(steps=8, lr=0.1, micro_batch=micro_batch)
    run = SFTRun(ours, build_optimizers(ours, OptimizerSettings("sgd", lr=0.1)), settings, CPU)
    for windows in batches(3):
        logits = reference(windows[:, :-1]).logits.flatten(0, 1)
        losses = F.cross_entropy(logits, windows[:, 1:].flatten(), reduction="none")
        scored = torch.zeros(64).index_fill_(0, SCORED, 1.0).view(4, 16)
        by_row = (losses.view(4, 16) * scored).sum(1)
        evaluated = run.evaluate(Batch(windows, SCORED))
        assert [nats for nats, _ in evaluated] == pytest.approx(by_row.tolist(), rel=1e-9)
        assert [count for _, count in evaluated] == [4, 0, 0, 3]
        loss = by_row.sum() / 7
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert run.train_step(Batch(windows, SCORED)).item() == pytest.approx(loss.item(), rel=1e-9)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_without_any_scored_target_changes_nothing_but_the_step(method: Any, precision: Any) -> None:
    model = small_gpt2()
    if method == "lora":
        add_adapters(model, LoRASettings(3, 6, (*PROJECTION_TARGETS, "head")), torch.Generator().manual_seed(0))
    select_trainable(model, method)
    settings = SFTSettings(steps=2, lr=0.1, micro_batch=2, precision=precision, clip_norm=1.0)
    run = SFTRun(model, build_optimizers(model, OptimizerSettings("sgd", lr=0.1)), settings, CPU)
    before = [p.detach().clone() for p in model.parameters()]
    nothing = Batch(batches(1)[0], torch.zeros(0, dtype=torch.long))
    assert run.train_step(nothing).item() == 0
    assert run.evaluate(nothing) == [(0.0, 0)] * 4
    assert run.step == 1
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-10), (torch.float32, 1e-4)],  # fp32's rounding, 6e-8 a step, grows as the two drift apart
)
def test_fifty_steps_of_adamw_follow_hugging_face_with_loralib(
    method: Any, dtype: torch.dtype, tolerance: float
) -> None:
    def model() -> GPT2LMHeadModel:
        made = small_gpt2()
        if method == "lora":
            add_adapters(made, LoRASettings(3, 6), torch.Generator().manual_seed(0))
        select_trainable(made, method)
        return made.to(dtype)

    reference, ours = model(), model()
    for layer in reference.modules():
        if isinstance(layer, LoRALinear):
            layer.forward = MethodType(loralib.Linear.forward, layer)  # type: ignore[method-assign]
    optimizer = torch.optim.AdamW([p for p in reference.parameters() if p.requires_grad], lr=1e-2, betas=(0.9, 0.95))
    settings = OptimizerSettings("adamw", lr=1e-2, weight_decay=1e-2)
    run = SFTRun(ours, build_optimizers(ours, settings), SFTSettings(steps=50, lr=1e-2, micro_batch=3), CPU)
    losses = []
    for windows in batches(5) * 10:
        loss = F.cross_entropy(reference(windows[:, :-1]).logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert run.train_step(Batch(windows)).item() == pytest.approx(loss.item(), rel=tolerance)
    assert losses[-1] < losses[0] - 0.1  # it did learn


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_lora_plus_follows_a_plain_pytorch_loop_with_a_rate_of_its_own_for_b(name: Any) -> None:
    def lora_gpt2() -> GPT2LMHeadModel:
        model = small_gpt2()
        add_adapters(model, LoRASettings(3, 6), torch.Generator().manual_seed(0))
        select_trainable(model, "lora")
        return model.double()

    reference, ours = lora_gpt2(), lora_gpt2()
    a, b = ([p for n, p in reference.named_parameters() if n.endswith(end)] for end in ("lora_A", "lora_B"))
    optimizer = REFERENCES[name]([{"params": a}, {"params": b}])
    settings = OptimizerSettings(name, lr=0.1, weight_decay=0.01, b_lr_ratio=16.0)
    run = SFTRun(ours, build_optimizers(ours, settings), SFTSettings(8, 0.1, 4, schedule="cosine"), CPU)
    for step, windows in enumerate(batches(8)):
        rate = learning_rate(0.1, "cosine", 0, 8, step)
        optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"] = rate, 16 * rate
        loss = F.cross_entropy(reference(windows[:, :-1]).logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert run.train_step(Batch(windows)).item() == pytest.approx(loss.item(), rel=1e-9)


def test_evaluation_gives_each_windows_loss_without_dropout_and_keeps_the_random_state() -> None:
    model = small_gpt2()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    run = SFTRun(model, [], SFTSettings(steps=1, lr=0.1, micro_batch=3), CPU)
    windows = torch.cat(batches(2))
    before = torch.get_rng_state()
    measured = run.evaluate(Batch(windows))
    assert [scored for _, scored in measured] == [16] * 8
    assert torch.equal(torch.get_rng_state(), before)
    model.eval()
    with torch.no_grad():
        each = [F.cross_entropy(model(w[None, :-1]).logits[0], w[1:]).item() for w in windows]
    assert [nats / scored for nats, scored in measured] == pytest.approx(each, rel=1e-6)


def test_no_gradient_and_no_logits_stay_behind_a_step() -> None:
    model = small_gpt2()
    select_trainable(model, "full")
    run = SFTRun(
        model,
        build_optimizers(model, OptimizerSettings("sgd", lr=0.1)),
        SFTSettings(steps=1, lr=0.1, micro_batch=4),
        CPU,
    )
    loss = run.train_step(Batch(batches(1)[0]))
    assert loss.grad_fn is None
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "precision"),
    [
        *itertools.product(("sgd", "momentum", "nesterov", "adamw", "muon"), ("fp32", "bf16")),  # Adafactor does read
        *itertools.product(SCALING_OPTIMIZERS, ("fp16",)),
    ],
)
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_no_operation_of_a_step_reads_a_tensors_value_for_which_a_gpu_would_have_to_be_waited_for(
    architecture: str, method: Any, optimizer: Any, precision: Any
) -> None:
    """Fake tensors have shapes but no values: whatever asks for one raises."""
    with FakeTensorMode():
        model = small_gpt2() if architecture == "gpt2" else tiny_model(architecture)
        if method == "lora":
            add_adapters(model, LoRASettings(3, 6), torch.Generator().manual_seed(0))
        select_trainable(model, method)
        settings = SFTSettings(steps=3, lr=0.1, micro_batch=2, clip_norm=1.0, precision=precision)
        on_gpu = training_kernels(settings, torch.device("cuda"))
        run = SFTRun(model, build_optimizers(model, OptimizerSettings(optimizer, lr=0.1)), settings, CPU, on_gpu)
        loss = run.train_step(Batch(torch.zeros(4, 17, dtype=torch.long)))
        some = torch.zeros(5, dtype=torch.long)
        run.train_step(Batch(torch.zeros(2, 17, dtype=torch.long), some, torch.zeros(2, 16, dtype=torch.int32)))
        with pytest.raises(DataDependentOutputException):
            float(run.train_step(Batch(torch.zeros(4, 17, dtype=torch.long))))
    assert loss.shape == ()


def test_bf16_changes_the_loss_by_its_rounding_alone() -> None:
    def first_losses(precision: Any) -> list[float]:
        model = small_gpt2()
        run = SFTRun(model, [], SFTSettings(steps=1, lr=0.1, micro_batch=4, precision=precision), CPU)
        return [nats for nats, _ in run.evaluate(Batch(batches(1)[0]))]

    assert first_losses("bf16") != first_losses("fp32")
    assert first_losses("bf16") == pytest.approx(first_losses("fp32"), rel=0.01)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointed"])
def test_ranks_that_are_padded_for_a_gpu_train_like_plain_ones(checkpointing: bool) -> None:
    def losses_and_adapters(rank_multiple: int) -> tuple[list[float], dict[str, torch.Tensor]]:
        model = small_gpt2()
        add_adapters(model, LoRASettings(3, 6, (*PROJECTION_TARGETS, "head")), torch.Generator().manual_seed(0))
        select_trainable(model.double(), "lora")
        settings = SFTSettings(steps=8, lr=0.1, micro_batch=2, activation_checkpointing=checkpointing)
        kernels = replace(training_kernels(settings, CPU), rank_multiple=rank_multiple)
        run = SFTRun(model, build_optimizers(model, OptimizerSettings("adamw", lr=0.1)), settings, CPU, kernels)
        losses = [run.train_step(Batch(windows)).item() for windows in batches(8)]
        nats, scored = run.evaluate(Batch(batches(1)[0]))[0]
        assert nats / scored < losses[0]
        return losses, dict(trained_parameters(model))

    (padded, ours), (plain, theirs) = (losses_and_adapters(multiple) for multiple in (8, 1))
    assert padded == pytest.approx(plain, rel=1e-9)
    for name, adapter in theirs.items():
        torch.testing.assert_close(ours[name], adapter, rtol=1e-6, atol=1e-9)


def test_a_frozen_base_kept_in_bf16_trains_to_the_bit_as_autocast_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def losses_and_dtypes() -> tuple[list[float], set[torch.dtype]]:
        model = small_gpt2()
        add_adapters(model, LoRASettings(3, 6), torch.Generator().manual_seed(0))
        select_trainable(model, "lora")
        optimizers = build_optimizers(model, OptimizerSettings("adamw", lr=0.1))
        run = SFTRun(model, optimizers, SFTSettings(steps=5, lr=0.1, micro_batch=4, precision="bf16"), CPU)
        losses = [run.train_step(Batch(windows)).item() for windows in batches(5)]
        assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
        return losses, {layer.weight.dtype for layer in model.modules() if isinstance(layer, LoRALinear)}

    kept, dtypes = losses_and_dtypes()
    assert dtypes == {torch.bfloat16}
    monkeypatch.setattr("model.sft.cast_frozen_projections", lambda model, dtype: None)
    assert losses_and_dtypes() == (kept, {torch.float32})


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler for its CPU code")
@pytest.mark.parametrize("method", ["full", "lora"])
def test_compiled_blocks_train_like_plain_ones_and_nothing_in_them_is_left_out(method: Any) -> None:
    def losses(compiled: bool) -> list[float]:
        model = small_gpt2()
        if method == "lora":
            add_adapters(model, LoRASettings(3, 6), torch.Generator().manual_seed(0))
        select_trainable(model, method)
        settings = SFTSettings(steps=3, lr=0.1, micro_batch=3, compile=compiled)  # a whole micro-batch and a short one
        kernels = replace(training_kernels(settings, CPU), rank_multiple=8 if compiled else 1)
        run = SFTRun(model, build_optimizers(model, OptimizerSettings("sgd", lr=0.1)), settings, CPU, kernels)
        trained = [run.train_step(Batch(windows)).item() for windows in batches(3)]
        return trained + [nats for nats, _ in run.evaluate(Batch(batches(1)[0]))]

    torch._dynamo.reset()
    counters.clear()
    assert losses(compiled=True) == pytest.approx(losses(compiled=False), rel=1e-5)
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["graph_break"]
    torch._dynamo.reset()


def test_schedules() -> None:
    def rates(schedule: Any, warmup: int = 0) -> list[float]:
        return [learning_rate(1.0, schedule, warmup, 10, step) for step in range(10)]

    assert rates("constant") == [1.0] * 10
    assert rates("linear") == pytest.approx([1 - k / 10 for k in range(10)])
    assert rates("cosine") == pytest.approx([(1 + math.cos(math.pi * k / 10)) / 2 for k in range(10)])
    assert rates("constant", 4)[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates("cosine", 5)[5:] == pytest.approx([(1 + math.cos(math.pi * k / 5)) / 2 for k in range(5)])


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    model = small_gpt2()
    select_trainable(model, "full")
    muon, adamw = build_optimizers(model, OptimizerSettings("muon", lr=1e-3))
    names = {id(p): name for name, p in model.named_parameters()}
    by_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    by_adamw = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert by_muon == {n for n in names.values() if ".h." in n and n.endswith("weight") and "ln_" not in n}
    assert by_muon | by_adamw == set(names.values())
    assert not by_muon & by_adamw
