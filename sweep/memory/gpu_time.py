"""Which share of a step one trial keeps a GPU busy, predicted from the work of the step.

The GPU is done with a kernel of a small model before the CPU has launched the next one, and another trial can use the
pause. A step of a large model leaves no pauses. Kernels of two processes take turns on a GPU (NVIDIA, Multi-Process
Service, "Architecture"; trials run without it), so the shares of trials beside each other add up.

The GPU's time is that of a roofline (Williams et al. 2009): what takes longer, the operations or the bytes that kernels
read and write. This is an estimate for one decision, how many trials share a GPU, and is shown nowhere as a
measurement. Its assumptions have not met a GPU yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PretrainedConfig

from basis.methods import Method
from model.cross_entropy import CHUNKING, SLAB_ROWS
from model.model_sizes import model_sizes
from model.precision import AUTOCAST
from model.step_flops import flops_per_token, recomputed_flops_per_token
from sweep.machine.gpu_facts import GpuFacts
from sweep.machine.gpu_peaks import peak_flops
from sweep.trial.config import TrialConfig
from sweep.trial.model import Execution

UTILISATION = 0.4
"""Assumed share of a GPU's peak that needed operations get (model FLOPs utilisation, MFU). Chowdhery et al. 2022 list
0.21 to 0.46 for large models on many chips (table 3); nobody has measured ours on a GPU."""

LAUNCH_SECONDS = 18e-6
"""Assumed time in which a CPU launches one kernel of a step from Python, autograd included: gpt2-medium's step in bf16
then takes at least 30 ms if all trains, and 35 ms with adapters."""

LEAST_KERNEL_SECONDS = 3e-6
"""Assumed time of a GPU for a kernel, however little that has to do."""

PRODUCTS: dict[Method, int] = {"full": 16, "lora": 36}
"""Kernels of a block's products and attention, forward and backward. These numbers and those below are counted in a
step that is run on tensors without storage, see the tests."""

BETWEEN, CASTS = 18, 22
"""Kernels of a block between its products, which torch.compile fuses: norms, sums, activations; casts of autocast."""

OUTSIDE, CHUNK, SLAB = 25, 12, 3
"""Kernels of a pass outside of the blocks and the cross-entropy; of a chunk of that; and of each slab of a head's
gradient under autocast (see `model.cross_entropy`)."""

BLOCK_BYTES, BLOCK_BYTES_AUTOCAST = 600, 400
"""Bytes that a block's kernels read and write for each token and unit of width, in fp32 and under autocast."""

LOGIT_BYTES = 60
"""Bytes that are read and written for each logit."""

RECOMPUTED = 1 / 3
"""What activation checkpointing adds to the kernels and bytes of a block: forward once more."""


@dataclass(frozen=True)
class StepWork:
    """What one optimizer step asks of a GPU.

    Attributes:
        flops: floating-point operations in products.
        moved_bytes: read from the GPU's memory and written to it.
        kernels: launched by the CPU, one after another.
    """

    flops: int
    moved_bytes: float
    kernels: float


def step_work(config: TrialConfig, shape: PretrainedConfig, execution: Execution) -> StepWork:
    """The work of an optimizer step of a trial on a base model of that shape."""
    sizes = model_sizes(shape)
    layers, width, vocabulary, block = sizes.blocks, sizes.width, shape.vocab_size, config.block_size
    passes = -(-config.batch_size // execution.micro_batch)
    autocast = config.precision in AUTOCAST
    matrices = sizes.block_matrices + sizes.head_matrix
    flops = flops_per_token(config.method, matrices, layers, sizes.attention_width, block)
    between = 0 if config.compile else BETWEEN + CASTS * autocast
    # PEFT's adapters launch as many as LoRA's here or more, so that a GPU is less busy than is predicted.
    kernels = float(PRODUCTS["full" if config.method == "full" else "lora"] + between)
    block_bytes = float(BLOCK_BYTES_AUTOCAST if autocast else BLOCK_BYTES)
    if execution.activation_checkpointing:
        flops += recomputed_flops_per_token(sizes.block_matrices, layers, sizes.attention_width, block)
        kernels *= 1 + RECOMPUTED
        block_bytes *= 1 + RECOMPUTED
    slabs = -(-vocabulary // SLAB_ROWS) if autocast and config.method == "full" else 0
    chunks = -(-execution.micro_batch * block // CHUNKING["cuda"].rows)
    kernels = kernels * layers + OUTSIDE + chunks * (CHUNK + SLAB * slabs)
    moved_bytes = block_bytes * layers * width + LOGIT_BYTES * vocabulary
    tokens = config.batch_size * block
    return StepWork(flops * tokens, moved_bytes * tokens, kernels * passes)


def busy_share(
    config: TrialConfig, shape: PretrainedConfig, execution: Execution, gpus: Sequence[GpuFacts]
) -> float | None:
    """The share of a step in which a trial keeps its GPU busy, on that of the GPUs where it is largest.

    Args:
        config: the trial.
        shape: of its base model.
        execution: how its steps are executed.
        gpus: each kind of GPU that the trial may get.

    Returns:
        A number above 0, at most 1; None if nobody knows how fast a GPU is.
    """
    work = step_work(config, shape, execution)
    shares = []
    for gpu in gpus:
        peak = peak_flops(gpu, config.settled_precision)
        if peak is None or not gpu.memory_bytes_per_second:
            return None
        at_work = max(work.flops / (peak * UTILISATION), work.moved_bytes / gpu.memory_bytes_per_second)
        gpu_seconds = at_work + work.kernels * LEAST_KERNEL_SECONDS
        shares.append(min(1.0, gpu_seconds / (work.kernels * LAUNCH_SECONDS)))
    return max(shares, default=None)
