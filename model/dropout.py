"""Dropout whose draws belong to a window and not to the pass that it is in.

PyTorch draws for a whole tensor from one stream, so that a step divided into other passes would drop other elements,
and train to other losses. Here each window's draws follow from the run's seed, the step, the window's place in the
step's batch and the layer alone. So they are the same however a step is divided, whether its blocks are computed twice,
and wherever a stopped run goes on. The price is a call for each window of a pass.
"""

import hashlib
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Draws:
    """What a run's draws follow from. `begin` says where in the training it is.

    Args:
        seed: the run's.
        compiled: whether the layers are part of compiled blocks, whose kernels would draw from streams of their own.
    """

    def __init__(self, seed: int, compiled: bool) -> None:
        self._seed = seed
        self._step = self._first_window = 0
        self.each_window = torch.compiler.disable(_each_window) if compiled else _each_window

    def begin(self, step: int, first_window: int) -> None:
        """A pass begins, forward and backward, whose first window is this one of the step's."""
        self._step, self._first_window = step, first_window

    def seed(self, place: int, window: int) -> int:
        """The seed of the draws at `place` in the model for a window of the pass, both counted from 0."""
        key = f"{self._seed},{self._step},{self._first_window + window},{place}"
        return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "little")


class WindowDropout(nn.Dropout):
    """Dropout of (B, ...), each of the B windows with draws of its own. `place` tells this layer from the others."""

    def __init__(self, p: float, draws: Draws, place: int) -> None:
        super().__init__(p)
        self.draws, self.place = draws, place

    def forward(self, input: Tensor) -> Tensor:
        """`input` with elements dropped in training."""
        return by_window(self, self.drop, input)

    def drop(self, x: Tensor) -> Tensor:
        """One window (1, ...) with elements dropped."""
        return F.dropout(x, self.p, self.training)


def draw_by_window(model: nn.Module, draws: Draws, layer: type[WindowDropout] = WindowDropout) -> bool:
    """Have every dropout of `model` that drops something draw by window, in place; returns whether there is any.

    Args:
        model: whose dropouts are replaced by a `layer` each.
        draws: what the draws follow from.
        layer: the kind of layer that drops.
    """
    dropouts = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Dropout)]
    for place, (name, module) in enumerate(dropouts):
        if module.p > 0:
            model.set_submodule(name, layer(module.p, draws, place))
    return any(module.p > 0 for _, module in dropouts)


def by_window(dropout: nn.Module, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """function(*tensors), for each window by itself with the draws that `dropout` has for it, where it drops anything.

    Args:
        dropout: a layer whose draws `function` makes from PyTorch's own generators.
        function: called once for each window with tensors (1, ...), or once for all.
        tensors: (B, ...) each.

    Returns:
        (B, ...).
    """
    if not (isinstance(dropout, WindowDropout) and dropout.training):
        return function(*tensors)
    return dropout.draws.each_window(dropout, function, *tensors)


def _each_window(dropout: WindowDropout, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    alone = len(tensors[0]) == 1
    parts = []
    windows = [tensors] if alone else zip(*(tensor.split(1) for tensor in tensors), strict=True)  # (1, ...) each
    for window, of_window in enumerate(windows):
        seed = dropout.draws.seed(dropout.place, window)
        if tensors[0].is_cuda:
            torch.cuda.manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)  # torch.manual_seed, for all devices, takes longer than to drop
        parts.append(function(*of_window))  # (1, ...)
    return parts[0] if alone else torch.cat(parts)  # (B, ...)
