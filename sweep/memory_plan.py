"""What each trial will take of the device's memory, how it is made to fit, and what share of the device that is."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from model.ledger import MemoryParts
from model.predict_memory import DeviceType, predict_parts
from model.sft import SFTRun
from sweep.errors import UserError
from sweep.trial import TrialConfig
from sweep.trial_model import Execution, adapt, as_configured, build_run
from sweep.units import as_setting, show_bytes

PLAN = "plan"
"""Key under which a trial's config, as Ray has it, keeps its MemoryPlan beside the fields of its TrialConfig."""


@dataclass(frozen=True)
class Device:
    """What a trial trains on: the machine's memory for a CPU, one of its GPUs for CUDA.

    `capacity_bytes` is what is free before the sweep starts; None if nobody knows, as for a GPU that is not here.
    """

    type: DeviceType
    capacity_bytes: int | None = None
    hopper: bool = False


@dataclass(frozen=True)
class MemoryPlan:
    """How a trial is to be executed, and the peak that is predicted for it. Travels with the trial as a mapping."""

    execution: Execution
    predicted: MemoryParts

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, for Ray."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: dict[str, Any]) -> "MemoryPlan":
        """What `to_mapping` made."""
        return cls(Execution(**mapping["execution"]), MemoryParts(**mapping["predicted"]))


def predict(config: TrialConfig, shape: GPT2Config, device: Device, execution: Execution) -> MemoryParts:
    """The parts of the predicted peak of a trial's training on a base model of that shape, without its weights."""
    alike = config.model_copy(update={"lr": 1.0, "seed": 0, "steps": 1, "warmup_steps": 0, "schedule": "constant"})
    alike = alike.model_copy(update={"compile": False, "test_every": 1, "test_windows": 1, "weight_decay": 0.0})
    return _predict(alike, _Shape(shape), device.type, device.hopper, execution)


def plan_trial(config: TrialConfig, shape: GPT2Config, device: Device, budget_bytes: int | None) -> MemoryPlan:
    """The execution with the fewest passes that fits into the budget; activation checkpointing is the last resort.

    A step's windows are divided evenly among its passes, since an uneven division takes more memory and no less time.

    Raises:
        UserError: not even one window at a time with checkpointing fits; names what would.
    """
    wanted = as_configured(config)
    tried = []
    for checkpointing in (False, True):
        if wanted.activation_checkpointing and not checkpointing:
            continue
        executions = [Execution(windows, checkpointing) for windows in _divisions(config, wanted.micro_batch)]
        best = _first_that_fits(executions, lambda e: predict(config, shape, device, e), budget_bytes)
        tried.append(best)
        if budget_bytes is None or best.predicted.total <= budget_bytes:
            return best
    raise UserError(_no_fit(config, shape, device, min(tried, key=lambda p: p.predicted.total), budget_bytes))


def _divisions(config: TrialConfig, most: int) -> list[int]:
    """Sizes of micro-batches, from the largest, each the smallest with its number of passes."""
    fewest = math.ceil(config.batch_size / most)
    return list(dict.fromkeys(math.ceil(config.batch_size / n) for n in range(fewest, config.batch_size + 1)))


def _first_that_fits(
    executions: list[Execution], parts: Callable[[Execution], MemoryParts], budget_bytes: int | None
) -> MemoryPlan:
    """The first execution within the budget, else the last; what they take falls from first to last."""
    low, high = 0, len(executions) - 1
    while low < high:
        middle = (low + high) // 2 if low else 0  # mostly the first fits
        if budget_bytes is None or parts(executions[middle]).total <= budget_bytes:
            high = middle
        else:
            low = middle + 1
    return MemoryPlan(executions[low], parts(executions[low]))


def _no_fit(config: TrialConfig, shape: GPT2Config, device: Device, best: MemoryPlan, budget_bytes: int | None) -> str:
    """Why a trial is refused, and which single changes would make it fit."""
    assert budget_bytes is not None
    changes: dict[str, dict[str, Any]] = {
        f"block_size {config.block_size // 2}": {"block_size": config.block_size // 2},
        f"block_size {config.block_size // 4}": {"block_size": config.block_size // 4},
        "precision bf16": {"precision": "bf16"},
        "method lora (rank 8)": {
            "method": "lora", "rank": 8, "alpha": 32.0, "also_train": (),
            "targets": ("attention_in", "attention_out", "mlp_in", "mlp_out"),
        },
        "optimizer sgd": {"optimizer": "sgd", "momentum": None, "betas": None},
    }  # fmt: skip
    enough = []
    for name, change in changes.items():
        if all(getattr(config, field) == value for field, value in change.items()) or 0 in change.values():
            continue
        if config.method == "lora" and "method" in change:
            continue
        changed = config.model_copy(update=change)
        peak = predict(changed, shape, device, best.execution).total
        if peak <= budget_bytes:
            enough.append(f"{name} ({show_bytes(peak)})")
    peak = best.predicted.total
    fits = f"{', '.join(enough)}, or " if enough else ""
    return (
        f"memory.budget: {config.label} is predicted to take {show_bytes(peak)} at its least, one window at a time "
        f"with activation checkpointing, and the budget is {show_bytes(budget_bytes)}; it would fit "
        f"with {fits}a budget of {as_setting(peak)}"
    )


class _Shape:
    """A model's configuration as a key: equal if all its values are."""

    def __init__(self, config: GPT2Config) -> None:
        self.config = config
        self._key = config.to_json_string(use_diff=False)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shape) and self._key == other._key


@lru_cache(maxsize=4096)
def _predict(config: TrialConfig, shape: _Shape, device: DeviceType, hopper: bool, execution: Execution) -> MemoryParts:
    def build(layers: int) -> SFTRun:
        smaller = GPT2Config(**{**shape.config.to_dict(), "n_layer": layers})
        model = adapt(GPT2LMHeadModel(smaller), config)
        return build_run(model, config, execution, torch.device("cpu"))

    return predict_parts(build, shape.config.n_layer, config.batch_size, config.block_size, device, hopper)
