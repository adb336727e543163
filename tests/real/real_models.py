"""Real pretrained models, where there are any, and the steps that this project and Hugging Face take with them.

    SFT_SWEEP_REAL_MODELS=folder python -m pytest tests/real

The folder has a folder for each model, as transformers saves it.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from basis.fields import Precision
from basis.methods import Method
from basis.packages import ROOT
from model.batch import Batch
from model.gpt2_lora import add_adapters, load_base, select_trainable
from model.lora_linear import LoRALinear, LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.peak_meter import PeakMeter
from model.sft import SFTRun, SFTSettings

VARIABLE = "SFT_SWEEP_REAL_MODELS"
FOLDER = Path(os.environ.get(VARIABLE, ""))
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/config.json")) if VARIABLE in os.environ else []
MARKS = [
    pytest.mark.real,
    pytest.mark.skipif(not NAMES, reason=f"{VARIABLE} names no folder of pretrained models"),
]

CPU = torch.device("cpu")
LORA = LoRASettings(rank=8, alpha=16, targets=("all-linear",))
RATES: dict[Method, float] = {"full": 1e-5, "lora": 1e-3}
STEPS = 10
DECAY, BETAS = 0.01, (0.9, 0.999)


@dataclass(frozen=True)
class Real:
    """A pretrained model's folder, its base in fp32, and rows of English in its tokens."""

    folder: Path
    base: PreTrainedModel
    rows: Tensor  # (24, 33)

    def batch(self, step: int) -> Tensor:
        """The rows of a step, (2, 33)."""
        return self.rows[2 * step : 2 * step + 2]


def read(name: str) -> Real:
    transformers_logging.disable_progress_bar()
    folder = FOLDER / name
    tokens = AutoTokenizer.from_pretrained(folder)((ROOT / "README.md").read_text(encoding="utf-8"))["input_ids"]
    return Real(folder, load_base(folder), torch.tensor(tokens[: 24 * 33]).view(24, 33))


def ours(real: Real, method: Method, precision: Precision) -> SFTRun:
    """Our run. Its adapters have a B that is not zero, so that every gradient is there."""
    model = copy.deepcopy(real.base)
    if method == "lora":
        add_adapters(model, LORA, torch.Generator().manual_seed(0))
        draws = torch.Generator().manual_seed(1)
        for _, layer in adapted(model):
            nn.init.normal_(layer.lora_B, std=1e-3, generator=draws)
    select_trainable(model, method)
    optimizer = OptimizerSettings("adamw", RATES[method], DECAY, betas=BETAS)
    settings = SFTSettings(steps=STEPS, lr=RATES[method], micro_batch=2, precision=precision)
    return SFTRun(model, build_optimizers(model, optimizer), settings, CPU)


def adapted(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    return ((name, layer) for name, layer in model.named_modules() if isinstance(layer, LoRALinear))


def theirs(real: Real, method: Method) -> Any:
    """Hugging Face's model in fp32, with PEFT's adapters around the same layers, of the same values, for "lora"."""
    model: Any = AutoModelForCausalLM.from_pretrained(real.folder, dtype=torch.float32).train()
    if method == "full":
        return model
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(model, LoraConfig(r=LORA.rank, lora_alpha=LORA.alpha, target_modules="all-linear"))
    with torch.no_grad():
        for name, layer in adapted(ours(real, "lora", "fp32").model):
            peer = model.base_model.model.get_submodule(name)
            peer.lora_A["default"].weight.copy_(layer.lora_A)
            peer.lora_B["default"].weight.copy_(layer.lora_B)
    return model


def our_step(run: SFTRun, rows: Tensor) -> float:
    return float(run.train_step(Batch(rows)))


def metered_step(meter: PeakMeter, rows: Tensor) -> None:
    meter.train_step(Batch(rows))


def our_test_losses(run: SFTRun, rows: Tensor) -> list[float]:
    """Mean loss of each row."""
    return [nats / scored for nats, scored in run.evaluate(Batch(rows))]


def their_loss(model: Any, rows: Tensor, precision: Precision) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        logits = model(input_ids=rows[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {_shared_name(name): p.grad for name, p in model.named_parameters() if p.grad is not None}


def trained(model: nn.Module) -> dict[str, Tensor]:
    return {_shared_name(name): p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def _shared_name(name: str) -> str:
    """The name of a parameter here, also of PEFT's."""
    return name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".default.weight", "")


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, float]:
    """By name, how far a is from b: the norm of the difference over that of b."""
    assert a.keys() == b.keys()
    return {name: float((a[name] - b[name]).norm() / b[name].norm().clamp_min(1e-30)) for name in b}


@contextmanager
def kept_gradients(run: SFTRun) -> Iterator[dict[str, Tensor]]:
    """Gradients that the run's next step has before it updates; the weights stay as they are."""
    kept: dict[str, Tensor] = {}
    optimizer = run.optimizers[0]
    hook = optimizer.register_step_pre_hook(lambda *_: kept.update(gradients(run.model)))
    yield kept
    hook.remove()


@dataclass(frozen=True)
class Trained:
    """What STEPS steps came to: the loss of each, and by how much they changed what trains, as one vector."""

    losses: list[float]
    change: Tensor


def our_steps(real: Real, method: Method, precision: Precision) -> Trained:
    run = ours(real, method, precision)
    before = trained(run.model)
    losses = [our_step(run, real.batch(step)) for step in range(STEPS)]
    return Trained(losses, _change(before, trained(run.model)))


def their_steps(real: Real, method: Method, precision: Precision) -> Trained:
    model = theirs(real, method)
    before, losses = trained(model), []
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATES[method], weight_decay=DECAY, betas=BETAS)
    for step in range(STEPS):
        loss = their_loss(model, real.batch(step), precision)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return Trained(losses, _change(before, trained(model)))


def _change(before: dict[str, Tensor], after: dict[str, Tensor]) -> Tensor:
    return torch.cat([(after[name] - before[name]).flatten() for name in sorted(before)])
