"""The hyperparameters of an optimizer, and what its groups of parameters are marked with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Group = dict[str, Any]

LR_RATIO = "lr_ratio"
"""Key of a parameter group: its learning rate over the run's."""


@dataclass(frozen=True)
class OptimizerSettings:
    """Hyperparameters of one optimizer. Weight decay applies to everything that trains, as in PyTorch itself.

    `momentum` and `betas` are read by the optimizers that have them (`basis.optimizers`), `betas` also by muon's AdamW
    part. `b_lr_ratio` is the learning rate of the adapters' B over that of all else: LoRA+ (Hayou et al. 2024,
    arXiv:2402.12354) has it above 1. `options` are hyperparameters by the optimizer's own names for them.
    """

    name: str
    lr: float
    weight_decay: float = 0.0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.95)
    b_lr_ratio: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
