"""Compares ways to generate responses: the study's, Hugging Face's `generate`, and `model.generate.generate`.

python -m benchmarks.generation [--quick]
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.measured import paired, run_alone, single, spread
from benchmarks.table import Row, Table, Target
from model.generate import SamplingSettings, generate, uniform_draws

VOCABULARY = 50257
END = VOCABULARY - 1
TEMPERATURE, TOP_K = 0.9, 200


@dataclass(frozen=True)
class Size:
    """How much is generated. `greedy_tokens`: new tokens where greedy tokens are compared, which needs fewer."""

    layers: int
    width: int
    prompts: int
    new_tokens: int
    greedy_tokens: int
    rounds: int


FULL = Size(layers=12, width=768, prompts=32, new_tokens=100, greedy_tokens=16, rounds=5)
MEDIUM = Size(layers=24, width=1024, prompts=32, new_tokens=64, greedy_tokens=16, rounds=5)
QUICK = Size(layers=2, width=64, prompts=4, new_tokens=8, greedy_tokens=6, rounds=2)


@dataclass(frozen=True)
class Timed:
    """New tokens per second: a figure for each round; for the study's way one mean over all its tokens."""

    theirs: list[float]
    ours: list[float]
    study: float


def measure(quick: bool) -> Table:
    """Measure rates in new tokens per second, and their ratios. Under `quick` take a size that needs seconds."""
    size = QUICK if quick else FULL
    model = random_model(size)
    prompts = random_prompts(size.prompts)
    equal = greedy_rows_equal(model, prompts, size.greedy_tokens)
    timed = _rounds(model, prompts, size)
    over_study = [rate / timed.study for rate in timed.ours]
    over_theirs = paired(timed.ours, timed.theirs)
    rows: list[Row] = [
        single("study's way: no cache, one prompt at a time", "new tokens/s", timed.study),
        spread("Hugging Face generate, one batch", "new tokens/s", timed.theirs),
        spread("ours, the same batch", "new tokens/s", timed.ours),
        spread("ours / study's way", "ratio", over_study),
        spread("ours / Hugging Face generate", "ratio", over_theirs),
        single(
            f"greedy: rows equal to Hugging Face's in all {size.greedy_tokens} tokens",
            "share of rows",
            equal,
            f"{round(equal * size.prompts)} of {size.prompts}",
        ),
    ]
    targets = [
        Target("generation, ours / study's way", float(np.median(over_study)), 40),
        Target("generation, ours / Hugging Face generate", float(np.median(over_theirs)), 1.2),
    ]
    return Table("generation", "Generation for the reward metric", _about(size, prompts), rows, targets)


def random_model(size: Size) -> GPT2LMHeadModel:
    """A GPT-2 at random weights that never ends a response.

    The head's row of the end token is zero: its logit is 0, which is never among the 200 largest, so that everyone
    generates all tokens without being told to. The head is not tied, since a tied head at random weights repeats the
    last token for ever, and wrong positions or masks would not be noticed in greedy tokens.
    """
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_layer=size.layers,
        n_embd=size.width,
        n_head=max(1, size.width // 64),
        tie_word_embeddings=False,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        model.lm_head.weight[END] = 0
    model.generation_config.eos_token_id = None  # otherwise Hugging Face would look for it in every step
    return model


def random_prompts(count: int) -> list[list[int]]:
    """Prompts of 10 to 80 tokens, the same on every call."""
    draw = np.random.default_rng(0)
    return [draw.integers(0, END, length).tolist() for length in draw.integers(10, 81, count)]


def greedy_rows_equal(model: GPT2LMHeadModel, prompts: list[list[int]], new_tokens: int) -> float:
    """The share of prompts for which ours and Hugging Face's generate give the same greedy tokens."""
    theirs = hugging_face_generate(model, prompts, new_tokens, do_sample=False)
    settings = SamplingSettings(new_tokens, top_k=1)
    ours = generate(model, prompts, uniform_draws(0, len(prompts), new_tokens), settings, [END])
    return sum(one == other for one, other in zip(ours, theirs, strict=True)) / len(prompts)


@torch.no_grad()
def study_way(model: GPT2LMHeadModel, tokens: Tensor, new_tokens: int) -> Tensor:
    """Continue one prompt as the study did: the model reads the whole text again for each new token.

    Args:
        model: the model.
        tokens: (1, length) ids of the prompt.
        new_tokens: how many tokens to add.
    """
    for _ in range(new_tokens):
        logits = model(input_ids=tokens, use_cache=False).logits[:, -1]
        top = torch.topk(torch.softmax(logits / TEMPERATURE, -1), TOP_K)
        chosen = top.indices.gather(1, torch.multinomial(top.values, 1))
        tokens = torch.cat([tokens, chosen], 1)
    return tokens


def _rounds(model: GPT2LMHeadModel, prompts: list[list[int]], size: Size) -> Timed:
    """Time interleaved rounds. The study's way is slow, so that each round does only a part of its one response."""
    settings = SamplingSettings(size.new_tokens, TEMPERATURE, TOP_K)
    draws = uniform_draws(0, len(prompts), size.new_tokens)
    prompt = sorted(prompts, key=len)[len(prompts) // 2]
    written = torch.tensor([prompt])
    part = size.new_tokens // size.rounds
    theirs: list[float] = []
    ours: list[float] = []
    study_seconds = 0.0
    for number in range(size.rounds):
        started = time.perf_counter()
        written = study_way(model, written, part)
        study_seconds += time.perf_counter() - started
        contenders: list[tuple[list[float], Callable[[], list[list[int]]]]] = [
            (theirs, lambda: hugging_face_generate(model, prompts, size.new_tokens, do_sample=True)),
            (ours, lambda: generate(model, prompts, draws, settings, [END])),
        ]
        for rates, contender in contenders if number % 2 else contenders[::-1]:
            rates.append(_rate(contender, len(prompts) * size.new_tokens))
    return Timed(theirs, ours, part * size.rounds / study_seconds)


def _rate(contender: Callable[[], list[list[int]]], expected: int) -> float:
    """New tokens per second of one call, after a check that it made all of them."""
    started = time.perf_counter()
    responses = contender()
    seconds = time.perf_counter() - started
    produced = sum(map(len, responses))
    if produced != expected:
        raise RuntimeError(f"{produced} tokens were generated where {expected} were expected: work is not equal")
    return produced / seconds


def hugging_face_generate(
    model: GPT2LMHeadModel, prompts: list[list[int]], new_tokens: int, *, do_sample: bool
) -> list[list[int]]:
    """The new tokens of Hugging Face's generate on one batch, padded on the left."""
    device = model.device
    longest = max(map(len, prompts))
    tokens = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    sampling = {"do_sample": True, "temperature": TEMPERATURE, "top_k": TOP_K} if do_sample else {"do_sample": False}
    written = model.generate(
        input_ids=tokens,
        attention_mask=mask,
        pad_token_id=0,
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        **sampling,
    )
    new: list[list[int]] = written[:, longest:].tolist()
    return new


def _about(size: Size, prompts: list[list[int]]) -> str:
    lengths = sorted(map(len, prompts))
    return (
        f"GPT-2 of {size.layers} layers and width {size.width} at random weights with vocabulary {VOCABULARY}, fp32 on "
        f"the CPU with {torch.get_num_threads()} threads for all. {size.prompts} prompts of {lengths[0]} to "
        f"{lengths[-1]} tokens in one batch, {size.new_tokens} new tokens each, temperature {TEMPERATURE}, top-k "
        f"{TOP_K}; no response ends early. {size.rounds} rounds in which Hugging Face's generate (do_sample, left "
        "padding, its cache) and ours take turns in going first; ratios are of the same round. The study's way runs "
        "the whole text through the model for each new token, of the prompt of median length alone; "
        f"{size.new_tokens} tokens, {size.new_tokens // size.rounds} in each round, and their mean rate."
    )


if __name__ == "__main__":
    run_alone(measure)
