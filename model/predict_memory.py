"""A run's peak memory before it is run: its own training step, carried out on tensors that have no storage.

Nothing here repeats what the step allocates. `SFTRun.train_step` itself runs under FakeTensorMode, on any shape in
fractions of a second, while a `TensorLedger` keeps account. Two things are added:

* Depth. All blocks are equal, so what is allocated at a given point of the step is a linear function of their number.
  Two shallow models are traced and each point is extrapolated (exactly; the test holds it to the byte).
* CUDA, on a machine without it. The trace runs as CPU code with the parts replaced that differ on a GPU: the chunks
  of the cross-entropy, padded ranks, fused attention, fused dropout. Sizes are rounded up to the caching
  allocator's unit, and cuBLAS's workspaces are added; blocks that the allocator leaves unsplit are not foreseen. None
  of this has met a GPU yet.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AttentionInterface, GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention, GPT2Block

from model.architectures import blocks_of
from model.batch import Batch
from model.decoder import attend
from model.dropout import WindowDropout, by_window
from model.forward import Attend, Block
from model.ledger import MemoryParts, Part, StepLedger, TensorLedger
from model.sft import Kernels, KernelsFor, SFTRun, SFTSettings, training_kernels
from model.tensor_bytes import state_tensors

DeviceType = Literal["cpu", "cuda"]

Build = Callable[[int, KernelsFor], SFTRun]
"""Makes a run with so many blocks and those kernels, on the CPU; it makes the model anew and loads nothing."""

SHALLOW, DEEPER = 3, 4
"""Depths that are traced: the first, second and last block are told apart, since a first block may need no gradient."""

ALLOCATION_BYTES = {"cpu": 1, "cuda": 512}
"""What every allocation is rounded up to (kMinBlockSize of c10/cuda/CUDACachingAllocator.cpp, PyTorch 2.13)."""

CUBLAS_WORKSPACE_BYTES = {True: 32 * 2**20, False: 8_519_680}
"""cuBLAS's workspace for each of the two threads that use it (forward, backward), on Hopper and later, and before
(getChosenWorkspaceSize in aten/src/ATen/cuda/CublasHandlePool.cpp, PyTorch 2.13)."""


@dataclass(frozen=True)
class BatchShape:
    """What a batch is like, as `predict_parts` is told it."""

    rows: int
    block_size: int
    masked: bool = False
    packed: bool = False

    def stand_in(self, most: int) -> Batch:
        """Such a batch, of `most` rows at most."""
        shape = min(self.rows, most), self.block_size
        return Batch(
            torch.zeros(shape[0], self.block_size + 1, dtype=torch.long),
            torch.zeros(shape[0] * self.block_size, dtype=torch.long) if self.masked else None,
            torch.zeros(shape, dtype=torch.int32) if self.packed else None,
        )


def predict_parts(
    build: Build,
    layers: int,
    batch: int,
    block_size: int,
    device: DeviceType = "cpu",
    hopper: bool = False,
    *,
    masked: bool = False,
    packed: bool = False,
) -> MemoryParts:
    """The parts of the peak of a run's training steps; their sum is the predicted peak.

    Args:
        build: makes the run; called under FakeTensorMode.
        layers: number of blocks that the real run has.
        batch: windows of an optimizer step.
        block_size: tokens of a window.
        device: what the real run trains on.
        hopper: whether that is a GPU of compute capability 9.0 or more.
        masked: whether targets may not count. How many do differs from step to step: the peak is that of all.
        packed: whether windows hold several examples, which are kept apart.
    """
    shape = BatchShape(batch, block_size, masked, packed)
    if len(traced_depths(layers)) == 1:
        peaks = list(_trace(build, layers, shape, device).values())
    else:
        low = _trace(build, SHALLOW, shape, device)
        high = _trace(build, DEEPER, shape, device)
        peaks = [_extrapolate(low[name], high[name], layers) for name in low]
    highest = max(peaks, key=lambda parts: parts.total)
    workspaces = 2 * CUBLAS_WORKSPACE_BYTES[hopper] if device == "cuda" else 0
    return MemoryParts(**{**highest.as_dict(), "activations": highest.activations + workspaces})


def traced_depths(layers: int) -> tuple[int, ...]:
    """The depths at which a run of so many blocks is made and traced, each once."""
    return (layers,) if layers <= DEEPER else (SHALLOW, DEEPER)


def _extrapolate(low: MemoryParts, high: MemoryParts, layers: int) -> MemoryParts:
    """Each part at `layers` blocks, on the line through those at SHALLOW and DEEPER blocks."""
    beyond = (layers - DEEPER) // (DEEPER - SHALLOW)
    slope: dict[Part, int] = {name: value - low.as_dict()[name] for name, value in high.as_dict().items()}
    return MemoryParts(**{name: value + beyond * slope[name] for name, value in high.as_dict().items()})


def _trace(build: Build, layers: int, shape: BatchShape, device: DeviceType) -> dict[str, MemoryParts]:
    """The peak of each stretch of a step of the run with so many blocks; those of inner blocks are left out."""
    ledger = TensorLedger(round_to=ALLOCATION_BYTES[device])

    def kernels(settings: SFTSettings, _: torch.device) -> Kernels:
        usual = training_kernels(settings, torch.device(device))
        return replace(
            usual if device == "cpu" else replace(usual, **_GPU_KERNELS),
            block=_marked(usual.block, layers, ledger),
            chunking=replace(usual.chunking, most=2),  # those after the second find what the second found
        )

    with FakeTensorMode(), _AnyValue():
        run = build(layers, kernels)
        if not isinstance(run.model, GPT2LMHeadModel):
            _mark_blocks(blocks_of(run.model), ledger)
        _make_optimizer_state(run)
        ledger.tag("weights", [*run.model.parameters(), *run.model.buffers()])
        ledger.tag("optimizer_state", state_tensors(run.optimizers))
        # Micro-batches after the second find what the second found.
        batch = shape.stand_in(2 * run.settings.micro_batch)
        with ledger:
            run.train_step(batch, ledger)
    return {name: parts for name, parts in ledger.peaks().items() if name not in ("", INNER)}


def place_on_cpu(model: nn.Module) -> None:
    """Give a model on the meta device tensors of the CPU, in place, without values; one that is shared stays so."""
    made: dict[int, Tensor] = {}
    for module in model.modules():
        own: list[tuple[str, Tensor]] = [*module.named_parameters(recurse=False, remove_duplicate=False)]
        for name, tensor in [*own, *module.named_buffers(recurse=False, remove_duplicate=False)]:
            if id(tensor) not in made:
                empty = torch.empty(tensor.shape, dtype=tensor.dtype)
                is_parameter = isinstance(tensor, nn.Parameter)
                made[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
            setattr(module, name, made[id(tensor)])


def _make_optimizer_state(run: SFTRun) -> None:
    """Have the optimizers make the state that they have from the first step on."""
    for parameter in run.model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
    for optimizer in run.optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


INNER = "inner block"


class _Marks:
    """Marks in a ledger where the backward pass of each block begins."""

    def __init__(self, layers: int, ledger: StepLedger) -> None:
        self._places = {0: "first", 1: "second", layers - 1: "last"}
        self._ledger = ledger
        self._passes = 0

    def forward(self, index: int) -> str:
        """The block goes forward; what its mark is called."""
        self._passes += index == 0
        return f"backward {self._passes}, {self._places[index]} block" if index in self._places else INNER

    def mark(self, y: Tensor, name: str) -> None:
        """The mark stands where the gradient of a block's output is there."""
        if y.requires_grad:
            y.register_hook(lambda _: self._ledger.moment(name))


def _marked(block: Block, layers: int, ledger: StepLedger) -> Block:
    """GPT-2's `block`, with a mark in the ledger where the backward pass of each begins."""
    marks = _Marks(layers, ledger)

    def run(layer: GPT2Block, x: Tensor, attend: Attend, tanh_gelu: bool, rank_multiple: int, /) -> Tensor:
        name = marks.forward(layer.attn.layer_idx)
        y = block(layer, x, attend, tanh_gelu, rank_multiple)
        marks.mark(y, name)
        return y

    return run


def _mark_blocks(blocks: nn.ModuleList, ledger: StepLedger) -> None:
    """The same for a model whose blocks are called as modules."""
    marks = _Marks(len(blocks), ledger)
    for index, layer in enumerate(blocks):

        def hook(_: nn.Module, __: Any, output: Any, index: int = index) -> None:
            y = output[0] if isinstance(output, tuple) else output
            marks.mark(y, marks.forward(index))

        layer.register_forward_hook(hook)


class _AnyValue(torch.utils._python_dispatch.TorchDispatchMode):
    """Tensors without storage have no values either; Adafactor, which reads some, is told 1."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0
        return func(*args, **(kwargs or {}))


# ------------------------------------------------------------------------------------------------- a GPU's kernels


class _FusedDropout(WindowDropout):
    """Keeps a mask of one byte an element, as CUDA's kernel does; PyTorch's CPU code keeps one in the input's dtype.

    The kernel is native_dropout_cuda of aten/src/ATen/native/cuda/Dropout.cu, PyTorch 2.13.
    """

    def drop(self, x: Tensor) -> Tensor:
        return torch.native_dropout(x, self.p, self.training)[0]


def _attend_as_on_a_gpu(layer: GPT2Attention, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    return by_window(layer.attn_dropout, _FusedAttention.apply, *((q, k, v) if bias is None else (q, k, v, bias)))


def _decoder_attends_as_on_a_gpu(
    module: nn.Module, q: Tensor, k: Tensor, v: Tensor, attention_mask: Tensor | None, *rest: Any, **options: Any
) -> tuple[Tensor, None]:
    """`model.decoder.attend` by a fused kernel. Where it takes none, or a mask, the CPU's allocations stand in."""
    window = options.get("sliding_window")
    if attention_mask is not None or options.get("softcap") or (window is not None and k.shape[2] > window):
        return attend(module, q, k, v, attention_mask, *rest, **options)
    mixed: Tensor = _FusedAttention.apply(q, k, v)
    return mixed.transpose(1, 2), None


_ON_A_GPU = "sft_sweep_causal_on_a_gpu"
AttentionInterface.register(_ON_A_GPU, _decoder_attends_as_on_a_gpu)

_GPU_KERNELS: dict[str, Any] = {
    "attend": _attend_as_on_a_gpu,
    "attention": _ON_A_GPU,
    "dropout": _FusedDropout,
}


class _FusedAttention(torch.autograd.Function):
    """Allocates what FlashAttention-2 does in PyTorch, and computes nothing.

    That is mha_fwd and mha_bwd of aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, PyTorch 2.13. The
    memory-efficient kernel, which PyTorch takes in fp32 or with a bias, keeps the same tensors, and the bias.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        mixed = _like_projected(q)  # (B, H, T, D)
        logsumexp = q.new_empty(q.shape[:3], dtype=torch.float32)  # (B, H, T)
        ctx.save_for_backward(q, k, v, mixed, logsumexp, bias)
        return mixed

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, v, _, logsumexp, _ = ctx.saved_tensors
        accumulated = q.new_empty(q.shape, dtype=torch.float32)  # (B, H, T, D)
        row_sums = torch.empty_like(logsumexp)  # (B, H, T)
        gradients = _like_projected(q), _like_projected(k), _like_projected(v), None
        del accumulated, row_sums  # the kernel's own, freed when it is done
        return gradients


def _like_projected(x: Tensor) -> Tensor:
    """An empty (B, H, T, D) that lies in memory as (B, T, H, D)."""
    batch, heads, length, width = x.shape
    return x.new_empty(batch, length, heads, width).transpose(1, 2)
