"""Batched sampling with a KV cache, in which every prompt has random draws of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel


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
    device = model.device
    longest = max(map(len, prompts))
    tokens = torch.full((len(prompts), longest), end_token)
    mask = torch.zeros(len(prompts), longest + settings.new_tokens, dtype=torch.long)
    mask[:, longest:] = 1
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) : longest] = 1
    tokens, mask, draws = tokens.to(device), mask.to(device), draws.to(device)
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    generated: list[Tensor] = []
    was_training = model.training
    model.eval()
    cache, new, seen = None, tokens, longest
    for position in range(settings.new_tokens):
        output = model(
            input_ids=new,
            attention_mask=mask[:, :seen],
            position_ids=positions[:, seen - new.shape[1] : seen],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = output.past_key_values
        chosen = _sample(output.logits[:, -1].float(), draws[:, position], settings)
        generated.append(chosen.masked_fill(ended, end_token))
        ended |= chosen == end_token
        if bool(ended.all()):
            break
        new, seen = generated[-1][:, None], seen + 1
    model.train(was_training)
    return [_until(row, end_token) for row in torch.stack(generated, 1).tolist()]


def _sample(logits: Tensor, draws: Tensor, settings: SamplingSettings) -> Tensor:
    """Inverse-transform sampling: by falling probability, the first token that lifts the sum above the draw."""
    vocabulary = logits.shape[-1]
    top = torch.topk(logits, min(settings.top_k or vocabulary, vocabulary))
    distribution = torch.softmax(top.values.double() / settings.temperature, -1).cumsum(-1)
    rank = torch.searchsorted(distribution, draws[:, None].contiguous(), right=True).clamp_max(top.indices.shape[1] - 1)
    return top.indices.gather(1, rank)[:, 0]


def _until(tokens: list[int], end_token: int) -> list[int]:
    return tokens[: tokens.index(end_token)] if end_token in tokens else tokens
