"""How a step computes in a precision: autocast, TF32 in products, and the scaled loss of fp16.

What trains, its gradients and the optimizer's state are in fp32 in every precision.

    fp32    products in fp32, also where a user's environment allows TF32
    tf32    products of fp32 tensors with 10 bits of their fractions, on the tensor cores of GPUs since Ampere
    bf16    autocast to bf16
    fp16    autocast to fp16, whose small gradients would become zero: the loss is scaled (Micikevicius et al. 2018,
            arXiv:1710.03740, section 3.2), and a step whose gradients overflow is skipped
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from basis.fields import Precision

AUTOCAST: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The precisions that autocast brings about, with the dtype of their products."""

LEAST_SCALE = 1.0
"""Below this a loss is not scaled up any more, and yet its gradients overflow. It begins at 65,536 and is halved each
time."""


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The autocast of a forward pass."""
    return torch.autocast(device.type, dtype=AUTOCAST.get(precision), enabled=precision in AUTOCAST)


@contextmanager
def products_of_fp32(precision: Precision) -> Iterator[None]:
    """Within, products of fp32 tensors are in TF32 if that is the precision, and in fp32 otherwise; fp32 afterwards."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


class LossScaler:
    """Scales the loss of an fp16 step and skips steps whose gradients overflow; in other precisions it does nothing.

    It is PyTorch's `GradScaler` (2.13), and nothing of it reads a tensor's value on the host: the optimizers that are
    accepted under fp16 have fused kernels, which look at the overflow themselves.

    Args:
        precision: of the run.
        optimizers: of the run.
        device: on which it trains.
    """

    def __init__(self, precision: Precision, optimizers: Sequence[torch.optim.Optimizer], device: torch.device) -> None:
        self.enabled = precision == "fp16"
        self._optimizers = optimizers
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.enabled)
        self._one = torch.ones((), device=device)
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)
        if self.enabled:
            _begin_momentum(optimizers)

    @property
    def scale(self) -> Tensor | None:
        """What the gradients of the next backward pass are to be multiplied by, a scalar; None: by nothing."""
        return self._scaler.scale(self._one) if self.enabled else None

    def unscale(self) -> None:
        """Divide the gradients by the scale. Clipping comes after it."""
        for optimizer in self._optimizers:
            self._scaler.unscale_(optimizer)

    def step(self) -> None:
        """Have the optimizers step, unless gradients have overflowed; then the scale becomes smaller."""
        before = self.scale
        for optimizer in self._optimizers:
            self._scaler.step(optimizer)
        if before is not None and self._optimizers:
            self._scaler.update()
            self._skipped += (self._scaler.scale(self._one) < before) | (before == 0)

    def skipped_steps(self) -> int | None:
        """How many steps have been skipped; None where none can be. Waits for the device."""
        return int(self._skipped) if self.enabled else None

    def last_scale(self) -> float:
        """The scale at present. Waits for the device."""
        return float(self._scaler.get_scale())

    def state_dict(self) -> dict[str, Any]:
        """What a new process needs to go on; empty where nothing is scaled."""
        return {"scaler": self._scaler.state_dict(), "skipped": int(self._skipped)} if self.enabled else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        if self.enabled:
            self._scaler.load_state_dict(state["scaler"])
            self._skipped.fill_(state["skipped"])


def _begin_momentum(optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Give SGD its momentum buffers, as zeros, which leave the first step as it is.

    PyTorch's fused SGD (2.13, `torch/optim/sgd.py`) makes them in its first step without values. If that step is
    skipped, the second one would add to whatever lay in memory.
    """
    for optimizer in optimizers:
        if isinstance(optimizer, torch.optim.SGD):
            for group in optimizer.param_groups:
                for parameter in group["params"] if group["momentum"] else ():
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
