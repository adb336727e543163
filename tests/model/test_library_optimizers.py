"""Every optimizer that is accepted trains here, for real: matrices and vectors, whole models and adapters."""

import io
from typing import Any

import pytest
import torch
from transformers import GPT2LMHeadModel

from basis.optimizers import AVERAGING, LOW_RANK, OPTIMIZERS, OWN
from model.batch import Batch
from model.gpt2_lora import add_adapters, select_trainable, trained_parameters
from model.library_optimizers import averages
from model.lora_linear import LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.sft import SFTRun, SFTSettings
from tests.model.test_sft import batches, small_gpt2

CPU = torch.device("cpu")
LIBRARY = [name for name in OPTIMIZERS if name not in OWN]
SLOW_TO_BEGIN = {
    "adamod",
    "dadaptadagrad",
    "dadaptlion",
    "dadaptsgd",
    "adalite",
    "sara",
    "sm3",
    "adamg",
    "radam",
    "ranger",
}
"""In a few steps they hardly move: their rate begins near zero."""
TOO_FAST = {"adammini", "kate", "dadaptadan", "avagrad", "padam", "yogi", "splus", "schedulefreesgd"}
"""The library's default rate is too high for so small a model."""


def begin(name: str, method: Any) -> SFTRun:
    model: GPT2LMHeadModel = small_gpt2()
    if method == "lora":
        add_adapters(model, LoRASettings(3, 6), torch.Generator().manual_seed(0))
    select_trainable(model, method, ("biases", "layernorms") if method == "lora" else ())
    traits = OPTIMIZERS[name]
    lr = 1e-5 if name == "kate" else 1e-3 if name in TOO_FAST else traits.lr or 1e-3
    decay = 0.01 if traits.decay else 0.0
    own = (traits.momentum or 0.0, traits.betas or (0.0, 0.0))
    options = {"rank": 4, "update_proj_gap": 3} if name in LOW_RANK else {}
    built = build_optimizers(model, OptimizerSettings(name, lr, decay, *own, b_lr_ratio=2.0, options=options))
    return SFTRun(model, built, SFTSettings(steps=10, lr=lr, micro_batch=4, schedule="cosine"), CPU)


def train(run: SFTRun, steps: int) -> list[float]:
    return [run.train_step(Batch(batches(1)[0])).item() for _ in range(steps)]


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """A state as a checkpoint has it, which holds no code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    read: dict[str, Any] = torch.load(file, weights_only=True)
    return read


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("method", ["full", "lora"])
def test_every_optimizer_trains_and_continues_to_the_bit(method: str, name: str) -> None:
    whole, stopped, resumed = (begin(name, method) for _ in range(3))
    losses = train(whole, 6)
    if name not in SLOW_TO_BEGIN:
        assert losses[-1] < losses[0]
    first = train(stopped, 3)
    state = through_a_file(stopped.state_dict())
    torch.manual_seed(99)  # of another process
    resumed.load_state_dict(state)
    assert first + train(resumed, 3) == losses
    for (_, ours), (_, theirs) in zip(trained_parameters(resumed.model), trained_parameters(whole.model), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", AVERAGING)
def test_an_averaging_optimizer_is_evaluated_at_its_average_and_trains_on_as_if_it_had_not_been(name: str) -> None:
    plain, evaluated = begin(name, "full"), begin(name, "full")
    losses = train(plain, 4)
    ours = []
    for _ in range(4):
        ours += train(evaluated, 1)
        at_average = evaluated.evaluate(Batch(batches(1)[0]))
    assert ours == losses
    for optimizer in evaluated.optimizers:
        optimizer.eval()  # type: ignore[attr-defined]
    plain.optimizers = []
    plain.model.load_state_dict(evaluated.model.state_dict())
    nats = [row for row, _ in plain.evaluate(Batch(batches(1)[0]))]
    assert nats == pytest.approx([row for row, _ in at_average], rel=1e-5)


def test_those_that_average_are_the_ones_that_say_so() -> None:
    assert {name for name in LIBRARY if averages(begin(name, "full").optimizers[0])} == set(AVERAGING)
