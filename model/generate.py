"""Batched sampling with a KV cache, in which every prompt has random draws of its own.

Shapes: G prompts, B of them still going on, T columns of a step (the padded prompts at first, then one), L columns that
are stored, S columns that there will be; the others are those of `model.forward`.
"""

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache, GPT2LMHeadModel, PreTrainedModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

from model.attention_mask import padded_bias
from model.decoder import prepare_decoder
from model.forward import attention_scale, hidden_states
from model.head import logits_of

SHRINK_AT = 0.75
"""Rows that have ended leave the batch when no more than this share goes on: leaving copies the cache of the others."""

LOOK_EVERY = {"cpu": 1, "cuda": 8}
"""By device: after how many tokens to look which rows have ended.

On a CPU looking costs nothing. A GPU has to be waited for, and then has nothing to do. There, rows that have ended are
computed for up to 7 tokens more, which changes no response.
"""


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
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    draws: Tensor,
    settings: SamplingSettings,
    end_tokens: Collection[int],
) -> list[list[int]]:
    """Continue one batch of prompts until each has ended or `new_tokens` are there.

    Args:
        prompts: token ids of each prompt, at least one each; they may differ in length (padded on the left).
        draws: (len(prompts), new_tokens), from `uniform_draws`.
        end_tokens: the ids that end a response, one at least; none is part of what is returned.

    Returns:
        The new token ids of each prompt.
    """
    was_training = model.training
    model.eval()
    tokens, real = (tensor.to(model.device) for tensor in _pad_left(prompts))  # (G, T) each
    positions = (real.cumsum(1) - 1).clamp_min(0)  # (G, T)
    decoding = _decoding_of(model, real, settings.new_tokens)
    draws = draws.to(model.device)  # (G, new_tokens)
    ends = torch.tensor(sorted(end_tokens), device=model.device)
    responses = torch.full(draws.shape, min(end_tokens), device=model.device)  # (G, new_tokens)
    going = torch.arange(len(prompts), device=model.device)  # (B,): the prompt that each row of the batch stands for
    ended = torch.zeros_like(going, dtype=torch.bool)  # (B,)
    look_every = LOOK_EVERY[model.device.type]
    for new in range(settings.new_tokens):
        hidden = decoding.last_states(tokens, positions)  # (B, C)
        chosen = _sample(logits_of(model, hidden), draws[going, new], settings)  # (B, V), (B,) -> (B,)
        responses[going, new] = chosen
        ended |= torch.isin(chosen, ends)
        tokens, positions = chosen[:, None], positions[:, -1:] + 1  # (B, 1) each
        if (new + 1) % look_every:
            continue
        rows = (~ended).nonzero()[:, 0]  # those that go on; their number is what a GPU is waited for
        if len(rows) == 0:
            break
        if len(rows) <= SHRINK_AT * len(going):
            going, ended, tokens, positions = going[rows], ended[rows], tokens[rows], positions[rows]
            decoding.keep(rows)
    model.train(was_training)
    return [_until(row, end_tokens) for row in responses.tolist()]


@torch.no_grad()
def stream(
    model: PreTrainedModel,
    prompt: Sequence[int],
    draws: Tensor,
    settings: SamplingSettings,
    end_tokens: Collection[int],
) -> Iterator[int]:
    """Continue one prompt, token by token: what `generate` returns for it, as it comes.

    Args:
        prompt: token ids, one at least.
        draws: (new_tokens,), a row of `uniform_draws`.
        end_tokens: as for `generate`.
    """
    model.eval()
    tokens, real = (tensor.to(model.device) for tensor in _pad_left([prompt]))  # (1, T) each
    positions = real.cumsum(1) - 1  # (1, T)
    decoding = _decoding_of(model, real, settings.new_tokens)
    for draw in draws.to(model.device)[: settings.new_tokens]:
        chosen = _sample(logits_of(model, decoding.last_states(tokens, positions)), draw[None], settings)  # (1,)
        token = int(chosen)
        if token in end_tokens:
            return
        yield token
        tokens, positions = chosen[:, None], positions[:, -1:] + 1  # (1, 1) each


def _decoding_of(model: PreTrainedModel, real: Tensor, new_tokens: int) -> "_GPT2Decoding | _Decoding":
    return (_GPT2Decoding if isinstance(model, GPT2LMHeadModel) else _Decoding)(model, real, new_tokens)


class _GPT2Decoding:
    """Keys and values of all of GPT-2's layers, allocated once, and which of their columns each row may see.

    Prompts are padded on the left, so that all rows write the same column at the same time. An instance is what
    `hidden_states` asks how positions see each other.
    """

    def __init__(self, model: GPT2LMHeadModel, real: Tensor, new_tokens: int) -> None:
        """`real` (B, T) is False where a prompt is padded."""
        config, (rows, length) = model.config, real.shape
        shape = (config.n_layer, 2, rows, config.n_head, length + new_tokens, config.n_embd // config.n_head)
        self._model = model
        self._columns = 0
        self._stored = torch.empty(shape, dtype=model.dtype, device=real.device)  # (layers, 2, B, H, S, D)
        self._prompts_bias: Tensor | None = padded_bias(_prompts_see(real), model.dtype)
        self._bias = padded_bias(
            F.pad(real, (0, new_tokens), value=True)[:, None, None, :], model.dtype
        )  # (B, 1, 1, S)

    def last_states(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """The last of the states (B, T, C) of the next columns, (B, C). Prompts come first, then a column at a time."""
        hidden = hidden_states(self._model, tokens, positions, self)[:, -1]  # (B, T, C) -> (B, C)
        self._columns += tokens.shape[1]
        self._prompts_bias = None
        return hidden

    def __call__(self, layer: GPT2Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Store k and v (B, H, T, D) of the new columns, and let q see all that its row has stored up to itself."""
        stored = self._stored[layer.layer_idx]  # (2, B, H, S, D)
        until = self._columns + q.shape[2]  # L
        stored[0, :, :, self._columns : until] = k
        stored[1, :, :, self._columns : until] = v
        keys, values = stored[:, :, :, :until]  # (B, H, L, D) each
        bias = (self._bias if self._prompts_bias is None else self._prompts_bias)[..., :until]  # (B, 1, 1 or T, L)
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=bias, scale=attention_scale(layer))

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the rows alone."""
        self._stored, self._bias = self._stored[:, :, rows], self._bias[rows]


class _Decoding:
    """The same for any other model, with keys and values in transformers' own cache.

    All layers keep all columns: the mask tells a sliding window what it may see.
    """

    def __init__(self, model: PreTrainedModel, real: Tensor, new_tokens: int) -> None:
        """`real` (B, T) is False where a prompt is padded."""
        prepare_decoder(model)
        self._model = model
        self._cache = DynamicCache()
        self._prompts_see: Tensor | None = _prompts_see(real)
        self._see = F.pad(real, (0, new_tokens), value=True)[:, None, None, :]  # (B, 1, 1, S)

    def last_states(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """The last of the states (B, T, C) of the next columns, (B, C)."""
        until = self._cache.get_seq_length() + tokens.shape[1]  # L
        mask = (self._see if self._prompts_see is None else self._prompts_see)[..., :until]  # (B, 1, 1 or T, L)
        self._prompts_see = None
        states: Tensor = self._model.base_model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )[0]
        return states[:, -1]

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the rows alone."""
        self._cache.batch_select_indices(rows)
        self._see = self._see[rows]


def _prompts_see(real: Tensor) -> Tensor:
    """Which columns each column of the prompts may see, (B, 1, T, T).

    Padding sees itself, since a softmax over nothing is not a number; nothing reads what comes of it.
    """
    square = torch.ones(real.shape[1], real.shape[1], dtype=torch.bool, device=real.device)  # (T, T)
    return real[:, None, None, :] & square.tril() | square.tril().triu()


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


def _until(tokens: list[int], end_tokens: Collection[int]) -> list[int]:
    return list(itertools.takewhile(lambda token: token not in end_tokens, tokens))
