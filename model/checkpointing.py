"""Activation checkpointing: a block keeps its input alone and is computed again in the backward pass.

Chen et al. 2016, arXiv:1604.06174, by PyTorch's own `torch.utils.checkpoint` (not reentrant): losses and gradients are
the same to the bit, for about a third more time.
"""

from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from model.forward import Attend, Block


def checkpointed(block: Block) -> Block:
    """`block` so that of all it computes only its input is kept for the backward pass."""

    def run(layer: GPT2Block, x: Tensor, attend: Attend, tanh_gelu: bool, rank_multiple: int, /) -> Tensor:
        # Draws follow from the window (`model.dropout`), so they are the same once more without a generator's state.
        y: Tensor = checkpoint(
            block, layer, x, attend, tanh_gelu, rank_multiple, use_reentrant=False, preserve_rng_state=False
        )
        return y

    return run
