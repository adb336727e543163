"""Batched sampling with a KV cache, in which every prompt has random draws of its own.

Shapes: G prompts, B of them still going on, T columns of a step (the padded prompts at first, then one), L columns that
are stored, S columns that there will be; the others are those of `model.forward`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

from model.forward import attention_scale, hidden_states, last_logits

SHRINK_AT = 0.75
"""Rows that have ended leave the batch when no more than this share goes on: leaving copies the cache of the others."""


@dataclass(frozen=True)
class SamplingSettings:
    """`top_k=1` is greedy decoding; `top_k=None` samples from the whole vocabulary."""

    new_tokens: int
    temperature: float = 1.0
    top_k: int | None = None


def uniform_draws(seed: int, prompts: int, new_tokens: int) -> Tensor:
    """One uniform number in [0, 1) for each prompt and position, (prompts, new_tokens) float64 on the CPU.

    The draws depend on the seed, the prompt's index and the position alone: two models asked the same prompts under
    the same draws differ by their weights, not by luck (common random numbers), and batching changes nothing.
    """
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).random((prompts, new_tokens)))


@torch.no_grad()
def generate(
    model: GPT2LMHeadModel,
    prompts: Sequence[Sequence[int]],
    draws: Tensor,
    settings: SamplingSettings,
    end_token: int,
) -> list[list[int]]:
    """Continue one batch of prompts until each has ended or `new_tokens` are there.

    Args:
        prompts: token ids of each prompt, at least one each; they may differ in length (padded on the left).
        draws: (len(prompts), new_tokens), from `uniform_draws`.
        end_token: the id that ends a response; it is not part of what is returned.

    Returns:
        The new token ids of each prompt.
    """
    was_training = model.training
    model.eval()
    tokens, real = (tensor.to(model.device) for tensor in _pad_left(prompts))  # (G, T) each
    positions = (real.cumsum(1) - 1).clamp_min(0)  # (G, T)
    cache = _KVCache(model, real, settings.new_tokens)
    draws = draws.to(model.device)  # (G, new_tokens)
    responses = torch.full(draws.shape, end_token, device=model.device)  # (G, new_tokens)
    going = torch.arange(len(prompts), device=model.device)  # (B,): the prompt that each row of the batch stands for
    for new in range(settings.new_tokens):
        hidden = hidden_states(model, tokens, positions, cache)[:, -1]  # (B, T, C) -> (B, C)
        cache.columns += tokens.shape[1]
        chosen = _sample(last_logits(model, hidden), draws[going, new], settings)  # (B, V), (B,) -> (B,)
        responses[going, new] = chosen
        rows = (responses[going, : new + 1] != end_token).all(1).nonzero()[:, 0]  # those that go on
        if len(rows) == 0:
            break
        tokens, positions = chosen[:, None], positions[:, -1:] + 1  # (B, 1) each
        if len(rows) <= SHRINK_AT * len(going):
            going, tokens, positions = going[rows], tokens[rows], positions[rows]
            cache.keep(rows)
    model.train(was_training)
    return [_until(row, end_token) for row in responses.tolist()]


class _KVCache:
    """Keys and values of all layers, allocated once, and which of their columns each row may see.

    Prompts are padded on the left, so that all rows write the same column at the same time. An instance is what
    `hidden_states` asks how positions see each other; the caller counts the `columns` that all layers have written.
    """

    def __init__(self, model: GPT2LMHeadModel, real: Tensor, new_tokens: int) -> None:
        """`real` (B, T) is False where a prompt is padded."""
        config, (rows, length) = model.config, real.shape
        shape = (config.n_layer, 2, rows, config.n_head, length + new_tokens, config.n_embd // config.n_head)
        self.columns = 0
        self._stored = torch.empty(shape, dtype=model.dtype, device=real.device)  # (layers, 2, B, H, S, D)
        self._real = F.pad(real, (0, new_tokens), value=True)  # (B, S)
        square = torch.ones(length, length, dtype=torch.bool, device=real.device)  # (T, T)
        # Padding sees itself, since a softmax over nothing is not a number; nothing reads what comes of it.
        self._prompts_see = real[:, None, None, :] & square.tril() | square.tril().triu()  # (B, 1, T, T)

    def __call__(self, layer: GPT2Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store k and v (B, H, T, D) of the new columns, and let q see all that its row has stored up to itself."""
        stored = self._stored[layer.layer_idx]  # (2, B, H, S, D)
        until = self.columns + q.shape[2]  # L
        stored[0, :, :, self.columns : until] = k
        stored[1, :, :, self.columns : until] = v
        keys, values = stored[:, :, :, :until]  # (B, H, L, D) each
        seen = self._real[:, None, None, :until] if self.columns else self._prompts_see  # (B, 1, 1 or T, L)
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=seen, scale=attention_scale(layer))

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the rows alone."""
        self._stored, self._real = self._stored[:, :, rows], self._real[rows]


def _pad_left(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids (G, T), and where they are real (G, T); the others are 0 and seen by nobody."""
    longest = max(map(len, prompts))
    padding = [longest - len(prompt) for prompt in prompts]
    tokens = torch.tensor([[0] * pad + list(prompt) for pad, prompt in zip(padding, prompts, strict=True)])
    return tokens, torch.arange(longest) >= torch.tensor(padding)[:, None]


def _sample(logits: Tensor, draws: Tensor, settings: SamplingSettings) -> Tensor:
    """Inverse-transform sampling: by falling probability, the first token that lifts the sum above the draw.

    Args:
        logits: (B, V).
        draws: uniform numbers in [0, 1), (B,).
        settings: its temperature and `top_k`, here K, which is V if None.

    Returns:
        Token ids, (B,).
    """
    vocabulary = logits.shape[-1]
    top = torch.topk(logits, min(settings.top_k or vocabulary, vocabulary))  # (B, K), by falling logit
    distribution = torch.softmax(top.values.double() / settings.temperature, -1).cumsum(-1)  # (B, K)
    place = torch.searchsorted(distribution, draws[:, None].contiguous(), right=True)  # (B, 1)
    return top.indices.gather(1, place.clamp_max(top.indices.shape[1] - 1))[:, 0]  # (B,)


def _until(tokens: list[int], end_token: int) -> list[int]:
    return tokens[: tokens.index(end_token)] if end_token in tokens else tokens
