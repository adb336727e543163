"""How many floating-point operations a training step needs, whoever does them."""

from basis.methods import Method


def flops_per_token(method: Method, matrices: int, layers: int, width: int, block: int) -> int:
    """Floating-point operations that forward and backward need per token.

    With N weights in matrices (the head counts once, as a product; GPT-2 has N = 12 L d^2 + V d), forward and the
    gradient of the activations take 2N each, the gradient of the weights, which LoRA has no use for, another 2N (Kaplan
    et al. 2020, section 2.1). The adapters themselves (about 1%) are left out. Causal attention: two products of
    2 T^2 d per layer and sequence, of which the lower half is needed, so 2 T d per layer and token forward, and twice
    that backward.

    Args:
        method: what trains.
        matrices: N.
        layers: L.
        width: d, of all heads together.
        block: T, the positions of a window that have a target.
    """
    return (6 if method == "full" else 4) * matrices + 3 * attention_flops_per_token(layers, width, block)


def recomputed_flops_per_token(block_matrices: int, layers: int, width: int, block: int) -> int:
    """Operations per token that activation checkpointing adds: the blocks, and not the head, go forward once more."""
    return 2 * block_matrices + attention_flops_per_token(layers, width, block)


def attention_flops_per_token(layers: int, width: int, block: int) -> int:
    """Operations per token of causal attention in a forward pass."""
    return 2 * layers * block * width
