"""Counts what a training step allocates, tensor by tensor, and says what its peak was made of.

The same ledger serves real tensors, for the parts of a measured peak, and tensors without storage
(`torch._subclasses.FakeTensorMode`), for a prediction. It sees the tensors that operators return; what a kernel
allocates for itself and frees before it returns, only an allocator sees.

A step is given its ledger as an argument, see `SFTRun.train_step`; without one it gets `NO_LEDGER`.
"""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Part = Literal["weights", "gradients", "optimizer_state", "logits", "activations"]


@dataclass(frozen=True)
class MemoryParts:
    """Bytes allocated at one moment, by part.

    `activations` is all that is none of the others: tensors that the backward pass waits for, temporaries, and in a
    measured or predicted peak also kernels' workspaces.
    """

    weights: int = 0
    gradients: int = 0
    optimizer_state: int = 0
    logits: int = 0
    activations: int = 0

    @property
    def total(self) -> int:
        """The sum."""
        return sum(self.as_dict().values())

    def as_dict(self) -> dict[Part, int]:
        """Bytes by part."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[misc]


class StepLedger(Protocol):
    """A training step tells it what the step's tensors are, and which stretch of the step begins."""

    def tag(self, part: Part, tensors: Iterable[Tensor]) -> None:
        """These tensors are of that part."""

    def moment(self, name: str) -> None:
        """A stretch of the step begins."""


class NoLedger:
    """The ledger of a step that nobody keeps account of."""

    def tag(self, part: Part, tensors: Iterable[Tensor]) -> None:
        """Nothing; the tensors are not even asked for."""

    def moment(self, name: str) -> None:
        """Nothing."""


NO_LEDGER = NoLedger()


@dataclass
class _Storage:
    """Memory that one or more tensor storages stand for; more where autograd would have added in place."""

    size: int
    part: Part
    holders: int = 0


class TensorLedger(TorchDispatchMode):
    """Follows every tensor storage that is made inside the `with` block, or handed over by `tag`, until it is freed.

    Args:
        device_type: tensors elsewhere are not counted.
        round_to: what a storage's size is rounded up to; CUDA's caching allocator hands out multiples of 512.
    """

    def __init__(self, device_type: str = "cpu", round_to: int = 1) -> None:
        super().__init__()
        self._device_type = device_type
        self._round_to = round_to
        self._storages: dict[int, tuple[_Storage, weakref.ref[Any]]] = {}
        self._events: list[tuple[_Storage, int] | str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and take note of the tensors it returns."""
        result = func(*args, **(kwargs or {}))
        if _sums_gradients(func, args, kwargs):
            self._hold(result.untyped_storage(), self._storage_of(args[0]))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.device.type == self._device_type:
                self._storage_of(leaf)
        return result

    def tag(self, part: Part, tensors: Iterable[Tensor]) -> None:
        """Say what these tensors are. It holds from when they were allocated, not only from now."""
        for tensor in tensors:
            if tensor.device.type == self._device_type:
                self._storage_of(tensor).part = part

    def moment(self, name: str) -> None:
        """Begin a stretch of the step; `peaks` has a peak for each name."""
        self._events.append(name)

    def peaks(self) -> dict[str, MemoryParts]:
        """For each stretch of the step, the parts of its peak; "" is the stretch before the first moment."""
        live: dict[Part, int] = MemoryParts().as_dict()
        now, moment = 0, ""
        highest: dict[str, MemoryParts] = {}
        for event in self._events:
            if isinstance(event, str):
                moment = event
            else:
                storage, sign = event
                live[storage.part] += sign * storage.size
                now += sign * storage.size
            if moment not in highest or now > highest[moment].total:
                highest[moment] = MemoryParts(**live)
        return highest

    def _storage_of(self, tensor: Tensor) -> _Storage:
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._storages.get(key)
        if known is not None:
            return known[0]
        made = _Storage(-(-storage.nbytes() // self._round_to) * self._round_to, "activations")
        self._events.append((made, 1))
        self._hold(storage, made)
        return made

    def _hold(self, storage: Any, memory: _Storage) -> None:
        """Count `memory` until this storage, and every other that stands for it, is freed."""
        key = storage._cdata

        def freed(_: Any) -> None:
            del self._storages[key]
            memory.holders -= 1
            if not memory.holders:
                self._events.append((memory, -1))

        memory.holders += 1
        self._storages[key] = memory, weakref.ref(storage, freed)


def _sums_gradients(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether autograd's engine is adding up what two branches of the graph send back to one tensor.

    It does so in place of the first, but not while a dispatch mode such as ours is active, for which it makes a new
    tensor (InputBuffer::accumulate in torch/csrc/autograd/input_buffer.cpp, PyTorch 2.13). Counted as it is otherwise.
    """
    if func is not torch.ops.aten.add.Tensor or kwargs or torch.is_grad_enabled():
        return False
    if torch._C._current_autograd_node() is None or not all(isinstance(arg, Tensor) for arg in args):
        return False
    first, second = args
    return bool(first.shape == second.shape and first.dtype == second.dtype)
