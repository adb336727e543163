"""How much of the device's memory each trial will take, and how a trial is executed so that it fits."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from basis.errors import UserError
from basis.fields import LORA_DEFAULTS, OPTIMIZER_FIELDS, SCALING_OPTIMIZERS
from basis.methods import METHODS
from basis.stages import Stage
from basis.units import as_setting, show_bytes
from model.architectures import shallow
from model.ledger import MemoryParts
from model.model_sizes import ConfigKey
from model.predict_memory import DeviceType, place_on_cpu, predict_parts, traced_depths
from model.sft import KernelsFor, SFTRun
from sweep.data.rows import settled_packing
from sweep.memory.device import Device
from sweep.trial.config import TrialConfig
from sweep.trial.model import Execution, adapt, as_configured, build_run
from sweep.trial.outline import outline


@dataclass(frozen=True)
class MemoryPlan:
    """How a trial is to be executed, and the peak that is predicted for it. Travels with the trial as a mapping.

    `predicted` is None where nobody knows: some methods compute in ways that need the values of the weights.
    """

    execution: Execution
    predicted: MemoryParts | None

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, for Ray."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: dict[str, Any]) -> "MemoryPlan":
        """What `to_mapping` made."""
        predicted = mapping["predicted"]
        return cls(Execution(**mapping["execution"]), None if predicted is None else MemoryParts(**predicted))


_Predicted = tuple[Execution, MemoryParts]

WITHOUT_EFFECT_ON_MEMORY = {
    **{"lr": 1.0, "seed": 0, "steps": 1, "warmup_steps": 0, "schedule": "constant", "weight_decay": 0.0},
    **{"compile": False, "test_every": 1, "test_windows": 1, "evaluate_on": Stage.PLAIN},
}
"""Fields of a config on which no prediction depends, each with a value that stands for all."""


def predict(config: TrialConfig, shape: PretrainedConfig, device: Device, execution: Execution) -> MemoryParts:
    """The parts of the predicted peak of a trial's training on a base model of that shape, without its weights."""
    return _predict(alike_in_memory(config), ConfigKey(shape), device.type, device.hopper, execution)


def alike_in_memory(config: TrialConfig) -> TrialConfig:
    """The same config for all trials that take the same memory."""
    return config.model_copy(update=WITHOUT_EFFECT_ON_MEMORY)


def plan_trial(
    config: TrialConfig, shape: PretrainedConfig, device: Device, budget_bytes: int | None, *, is_text: bool = True
) -> MemoryPlan:
    """How a trial is executed within a budget.

    Args:
        config: the trial.
        shape: of its base model.
        device: what it trains on.
        budget_bytes: the most that it may be predicted to take; None: there is no limit.
        is_text: whether the data are texts; else rows hold packed examples, of which not all counts, by themselves.

    Raises:
        UserError: no execution fits; names what would.
    """
    config = config.model_copy(update={"packing": settled_packing(config.packing, is_text=is_text)})
    plan = best_plan(config, shape, device, budget_bytes)
    if budget_bytes is not None and plan.predicted is not None and plan.predicted.total > budget_bytes:
        raise UserError(_no_fit(config, shape, device, plan.execution, plan.predicted, budget_bytes))
    return plan


def best_plan(config: TrialConfig, shape: PretrainedConfig, device: Device, budget_bytes: int | None) -> MemoryPlan:
    """The execution with the fewest passes that fits into the budget; the one that takes least if none fits.

    A step's windows are divided evenly among its passes: an uneven division takes more memory and no less time.
    Activation checkpointing comes in when even micro-batches of one window do not fit. A trial whose memory nobody can
    predict is executed as its config has it.
    """
    wanted = as_configured(config)
    if not METHODS[config.method].predicted:
        return MemoryPlan(wanted, None)
    plans: list[_Predicted] = []
    for checkpointing in (True,) if wanted.activation_checkpointing else (False, True):
        executions = [Execution(windows, checkpointing) for windows in _divisions(config, wanted.micro_batch)]
        plans.append(_first_that_fits(executions, lambda e: predict(config, shape, device, e), budget_bytes))
        if budget_bytes is None or plans[-1][1].total <= budget_bytes:
            break
    return MemoryPlan(*min(plans, key=_peak))


def _peak(plan: _Predicted) -> int:
    return plan[1].total


def _divisions(config: TrialConfig, most: int) -> list[int]:
    """Sizes of micro-batches, from the largest, each the smallest with its number of passes."""
    passes = (math.ceil(config.batch_size / windows) for windows in range(most, 0, -1))
    return list(dict.fromkeys(math.ceil(config.batch_size / n) for n in passes))


def _first_that_fits(
    executions: list[Execution], parts: Callable[[Execution], MemoryParts], budget_bytes: int | None
) -> _Predicted:
    """The first execution within the budget; the one that takes least if none is.

    From the second execution on, each takes less than the one before. The first, if it is a single pass, can take less
    than the second, since it has no gradients yet while it has its activations.
    """
    first = executions[0], parts(executions[0])
    if budget_bytes is None or _peak(first) <= budget_bytes or len(executions) == 1:
        return first
    least = executions[-1], parts(executions[-1])
    if _peak(least) > budget_bytes:
        return min(first, least, key=_peak)
    low, high = 1, len(executions) - 1
    while low < high:
        middle = (low + high) // 2
        if parts(executions[middle]).total <= budget_bytes:
            high = middle
        else:
            low = middle + 1
    return executions[low], parts(executions[low])


def _no_fit(
    config: TrialConfig,
    shape: PretrainedConfig,
    device: Device,
    execution: Execution,
    predicted: MemoryParts,
    budget_bytes: int,
) -> str:
    """Why a trial is refused, and which single changes would make it fit."""
    lora: dict[str, Any] = {"method": "lora", "rank": 8, **LORA_DEFAULTS}
    half = "fp16" if device.gpus and "bf16" not in device.native_precisions else "bf16"
    scales = config.optimizer in SCALING_OPTIMIZERS
    changes: dict[str, dict[str, Any]] = {
        **({f"precision {half}": {"precision": half}} if half == "bf16" or scales else {}),
        "optimizer sgd": {"optimizer": "sgd", **dict.fromkeys(OPTIMIZER_FIELDS)},
        **({"method lora, rank 8": lora} if config.method == "full" else {}),
        **{f"block_size {size}": {"block_size": size} for size in (config.block_size // 2, config.block_size // 4)},
    }
    enough = []
    for name, change in changes.items():
        changed = config.model_copy(update=change)
        if changed == config or changed.block_size == 0:
            continue
        peak = predict(changed, shape, device, execution).total
        if peak <= budget_bytes:
            enough.append(f"{name} ({show_bytes(peak)})")
    peak = predicted.total
    windows = execution.micro_batch
    return (
        f"memory.budget: {config.label} is predicted to take {show_bytes(peak)} at its least (micro-batch "
        f"{windows}, activation checkpointing), and the budget, which is no more than a trial can get of its "
        f"device, is {show_bytes(budget_bytes)}; it would fit with {', '.join([*enough, ''])}{'or ' if enough else ''}"
        f"a budget of {as_setting(peak)}"
    )


@lru_cache(maxsize=4096)
def _predict(
    config: TrialConfig, shape: ConfigKey, device: DeviceType, hopper: bool, execution: Execution
) -> MemoryParts:
    depths = traced_depths(shape.config.num_hidden_layers)
    # PEFT moves what it makes to where the projection is, which tensors of FakeTensorMode do not bear.
    of_peft = METHODS[config.method].peft is not None
    outlines = {blocks: outline(config, shallow(shape.config, blocks)) for blocks in depths} if of_peft else {}

    def build(layers: int, kernels: KernelsFor) -> SFTRun:
        if layers in outlines:
            model = outlines[layers]
            place_on_cpu(model)
        else:
            model = adapt(AutoModelForCausalLM.from_config(shallow(shape.config, layers), dtype=torch.float32), config)
        return build_run(model, config, execution, torch.device("cpu"), kernels)

    return predict_parts(
        build,
        shape.config.num_hidden_layers,
        config.batch_size,
        config.block_size,
        device,
        hopper,
        masked=config.packing not in ("auto", "stream") or config.loss_on not in ("auto", "all"),
        packed=config.packing == "examples",
    )
