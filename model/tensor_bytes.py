"""Memory of a model and its optimizers, counted from tensors."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the distinct storages behind `tensors`: a tied weight or a view counts once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def weight_bytes(model: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return tensor_bytes([*model.parameters(), *model.buffers()])


def gradient_bytes(model: nn.Module) -> int:
    """Bytes of one gradient for everything that trains."""
    return sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)


def optimizer_state_bytes(optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """Bytes of the state tensors that the optimizers hold now (none before the first step)."""
    return tensor_bytes(state_tensors(optimizers))


def state_tensors(optimizers: Sequence[torch.optim.Optimizer]) -> list[Tensor]:
    """The state tensors that the optimizers hold now, however deep they keep them."""
    return [tensor for optimizer in optimizers for state in optimizer.state.values() for tensor in _tensors_in(state)]


def _tensors_in(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_in(item)
    elif hasattr(value, "ortho_matrix"):  # the projection of GaLore and its kin, which is an object
        yield from _tensors_in(value.ortho_matrix)
