"""Packed LoRA runs: each trains as it does alone, and what cannot be packed is refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.packed import CONTENDERS, QUICK, RANKS, RATIOS, Measured, _rows, check_losses
from benchmarks.packed_step import PackedRuns, with_shared_base
from benchmarks.packed_worker import Order, Way, random_base, take_steps
from benchmarks.packed_worker import lora_run as benchmark_run
from model.batch import Batch
from model.gpt2_lora import add_adapters, select_trainable, trained_parameters
from model.lora_linear import LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.sft import SFTRun, SFTSettings

STEPS, BLOCK = 10, 16
BATCHES = (2, 1, 3)
LORA = (LoRASettings(1, 2), LoRASettings(4, 16, ("attention_in", "mlp_out")), LoRASettings(3, 3))
OPTIMIZERS = (OptimizerSettings("adamw", 1e-2), OptimizerSettings("nesterov", 0.3), OptimizerSettings("muon", 3e-3))


def base_model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=61, n_positions=32, n_embd=24, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).double()


def lora_run(model: GPT2LMHeadModel, number: int) -> SFTRun:
    add_adapters(model, LORA[number], torch.Generator().manual_seed(number))
    select_trainable(model, "lora")
    settings = SFTSettings(
        steps=STEPS,
        lr=OPTIMIZERS[number].lr,
        micro_batch=4,
        schedule=("constant", "cosine", "linear")[number],
        warmup_steps=number,
        clip_norm=(None, 0.5, None)[number],
    )
    return SFTRun(model.double(), build_optimizers(model, OPTIMIZERS[number]), settings, torch.device("cpu"))


def windows_of(number: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(number)
    return [torch.randint(61, (BATCHES[number], BLOCK + 1), generator=generator) for _ in range(STEPS)]


def packed_runs() -> list[SFTRun]:
    base = base_model()
    return [lora_run(with_shared_base(base), number) for number in range(3)]


def test_packed_runs_train_as_they_do_alone() -> None:
    runs = packed_runs()
    packed = PackedRuns(runs)
    together = torch.stack([packed.train_step(step) for step in zip(*map(windows_of, range(3)), strict=True)])
    for number, run in enumerate(runs):
        alone = lora_run(base_model(), number)
        losses = torch.stack([alone.train_step(Batch(windows)) for windows in windows_of(number)])
        torch.testing.assert_close(together[:, number], losses, rtol=1e-11, atol=0)
        assert run.step == alone.step == STEPS
        for (name, own), (_, other) in zip(trained_parameters(run.model), trained_parameters(alone.model), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-8, atol=1e-11, msg=name)
            assert own.grad is None


def test_packed_steps_and_steps_alone_can_alternate() -> None:
    """The state is the run's own: it can leave the pack, be saved, evaluated and go on alone."""
    runs = packed_runs()
    per_step = list(zip(*map(windows_of, range(3)), strict=True))
    PackedRuns(runs).train_step(per_step[0])
    successor = lora_run(base_model(), 1)
    successor.load_state_dict(runs[1].state_dict())
    together = PackedRuns(runs[1:]).train_step(per_step[1][1:])
    assert successor.train_step(Batch(per_step[1][1])).item() == pytest.approx(together[0].item(), rel=1e-11)


def test_models_of_one_base_share_its_weights_and_not_their_adapters() -> None:
    one, _, other = packed_runs()
    assert one.model.transformer.wte.weight is other.model.transformer.wte.weight
    assert one.model.transformer.h[0].mlp.c_fc.weight is other.model.transformer.h[0].mlp.c_fc.weight
    assert one.model.lm_head.weight is one.model.transformer.wte.weight
    shared = {id(p) for p in one.model.parameters()} & {id(p) for p in other.model.parameters()}
    assert shared == {id(p) for p in one.model.parameters() if not p.requires_grad}


def _other_base(run: SFTRun) -> None:
    run.model.transformer.ln_f = base_model().transformer.ln_f.requires_grad_(False)


def _dropout(run: SFTRun) -> None:
    run.model.transformer.drop.p = 0.1


def _trained_base(run: SFTRun) -> None:
    select_trainable(run.model, "lora", ["layernorms"])


def _adapted_head(run: SFTRun) -> None:
    add_adapters(run.model, LoRASettings(2, 2, ("head",)), torch.Generator())
    select_trainable(run.model, "lora")


def _activation(run: SFTRun) -> None:
    run.model.config.activation_function = "relu"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_other_base, "one base"),
        (_trained_base, "adapters alone"),
        (_dropout, "no dropout"),
        (_adapted_head, "without an adapter on the head"),
        (_activation, "no relu"),
    ],
)
def test_what_cannot_be_packed_is_refused(change: Callable[[SFTRun], None], reason: str) -> None:
    runs = packed_runs()
    change(runs[2])
    with pytest.raises(ValueError, match=reason):
        PackedRuns(runs)


def test_the_benchmarks_ways_do_the_same_work() -> None:
    shape = QUICK[0].shape

    def losses(way: Way) -> dict[int, float]:
        base = random_base(shape)
        runs = {rank: benchmark_run(with_shared_base(base), rank, 1e-2) for rank in RANKS}
        return take_steps(runs, PackedRuns(list(runs.values())), Order(way, shape, 3))

    told = {"in turn": losses("alone"), "packed": losses("packed")}
    check_losses("here", told)
    assert len({round(loss, 5) for loss in told["packed"].values()}) == len(RANKS)
    with pytest.raises(RuntimeError, match="rank 4 does not have the same loss"):
        check_losses("here", {**told, "packed": {**told["packed"], 4: float("nan")}})
    for contender in CONTENDERS.values():
        assert sorted(rank for ranks in contender.processes for rank in ranks) == sorted(RANKS)


def test_rows_are_ratios_of_the_same_round() -> None:
    results = {name: Measured([2.0 * (k + 1), 3.0 * (k + 1)], 5.0) for k, name in enumerate(CONTENDERS)}
    rows = {str(row["what"]): row["median"] for row in _rows(QUICK[0], results)}
    assert rows["tiny, 1 x 8: packed / in turn"] == 3
    assert rows["tiny, 1 x 8: packed pairs / at once"] == 2
    assert len(rows) == 2 * len(CONTENDERS) + len(RATIOS)
