"""Generation against Hugging Face's own, and its promise that a prompt's response depends on nothing beside it."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import GPT2Config, GPT2LMHeadModel

from model.generate import LOOK_EVERY, SHRINK_AT, SamplingSettings, generate, uniform_draws
from model.head import logits_of

END = 0
PROMPTS = [[5, 6, 7], [1, 2, 3, 4, 5, 6, 8, 9], [9], [11, 12, 13, 14, 15]]


@pytest.fixture(scope="module")
def model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=97, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=END, eos_token_id=END,
        initializer_range=0.3, tie_word_embeddings=False,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def test_greedy_tokens_equal_hugging_faces_for_every_prompt_of_a_padded_batch(model: GPT2LMHeadModel) -> None:
    ours = generate(model, PROMPTS, uniform_draws(0, 4, 20), SamplingSettings(20, top_k=1), [END])
    assert max(len(set(tokens)) for tokens in ours) > 5  # not one token for ever, which would hide wrong positions
    for prompt, tokens in zip(PROMPTS, ours, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False, pad_token_id=END
        )[0, len(prompt) :].tolist()
        assert tokens == (theirs[: theirs.index(END)] if END in theirs else theirs)


def test_a_response_does_not_depend_on_its_batch(model: GPT2LMHeadModel) -> None:
    draws, settings = uniform_draws(5, 4, 20), SamplingSettings(20, temperature=0.9, top_k=40)
    together = generate(model, PROMPTS, draws, settings, [END])
    alone = [generate(model, [prompt], draws[i : i + 1], settings, [END])[0] for i, prompt in enumerate(PROMPTS)]
    assert together == alone
    assert generate(model, PROMPTS, uniform_draws(6, 4, 20), settings, [END]) != together


def test_a_response_ends_at_whichever_end_token_comes_first(model: GPT2LMHeadModel) -> None:
    draws, settings = uniform_draws(5, 4, 20), SamplingSettings(20, temperature=0.9, top_k=40)
    whole = generate(model, PROMPTS, draws, settings, [model.config.vocab_size])
    ends = {whole[0][7], whole[0][3], whole[1][5]}
    cut = [response[: min((i for i, token in enumerate(response) if token in ends), default=20)] for response in whole]
    assert generate(model, PROMPTS, draws, settings, ends) == cut
    assert len(cut[0]) <= 3


def test_rows_that_have_ended_leave_the_batch_and_the_others_do_not_notice(
    model: GPT2LMHeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws, settings = uniform_draws(5, 4, 20), SamplingSettings(20, temperature=0.9, top_k=40)
    undisturbed = generate(model, PROMPTS, draws, settings, end_tokens=[model.config.vocab_size])
    end = undisturbed[1][3]  # whichever token comes fourth in one response, as the token that ends responses
    rows: list[int] = []
    monkeypatch.setattr("model.generate.logits_of", lambda *args: rows.append(len(args[1])) or logits_of(*args))
    ended = generate(model, PROMPTS, draws, settings, [end])
    assert ended == [row[: row.index(end)] if end in row else row for row in undisturbed]
    going = [sum(len(row) >= new for row in ended) for new in range(20)]
    assert rows[0] == 4 > min(rows)
    assert all(computed >= needed > SHRINK_AT * computed for computed, needed in zip(rows, going, strict=False))


def test_generation_stops_when_all_rows_have_ended(model: GPT2LMHeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []

    def end_at_third(model: GPT2LMHeadModel, hidden: torch.Tensor) -> torch.Tensor:
        steps.append(1)
        logits = logits_of(model, hidden).index_fill(-1, torch.tensor([END]), -1e4)
        return logits.index_fill(-1, torch.tensor([END]), 1e4) if len(steps) == 3 else logits

    monkeypatch.setattr("model.generate.logits_of", end_at_third)
    responses = generate(model, PROMPTS, uniform_draws(0, 4, 20), SamplingSettings(20), [END])
    assert [len(row) for row in responses] == [2, 2, 2, 2]
    assert len(steps) == 3


@torch.no_grad()
def one_by_one(model: GPT2LMHeadModel, draws: Tensor, settings: SamplingSettings, end: int) -> list[list[int]]:
    """Each prompt by itself, read whole by Hugging Face's forward pass for each new token."""
    responses = []
    for prompt, numbers in zip(PROMPTS, draws.tolist(), strict=True):
        response: list[int] = []
        for number in numbers:
            logits = model(torch.tensor([prompt + response])).logits[0, -1]
            top = torch.topk(logits, settings.top_k or len(logits))
            sums = torch.softmax(top.values.double() / settings.temperature, 0).cumsum(0)
            token = int(top.indices[int((sums <= number).sum())])
            if token == end:
                break
            response.append(token)
        responses.append(response)
    return responses


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("seed", range(4))
def test_how_often_ended_rows_are_looked_for_changes_no_response(
    model: GPT2LMHeadModel, monkeypatch: pytest.MonkeyPatch, seed: int, device: str
) -> None:
    monkeypatch.setitem(LOOK_EVERY, "cpu", LOOK_EVERY[device])
    draws, settings = uniform_draws(seed, 4, 30), SamplingSettings(30, temperature=0.9, top_k=40)
    undisturbed = one_by_one(model, draws, settings, end=-1)
    end = undisturbed[seed][3 * seed]  # a token that ends some responses early, others late or never
    expected = [row[: row.index(end)] if end in row else row for row in undisturbed]
    assert len({len(row) for row in expected}) > 1
    assert generate(model, PROMPTS, draws, settings, [end]) == expected


class HostReads(TorchDispatchMode):
    """Counts what a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        reading = (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.equal)
        self.count += func.overloadpacket in reading
        return func(*args, **(kwargs or {}))


def test_a_gpu_is_waited_for_once_in_eight_tokens(model: GPT2LMHeadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOOK_EVERY, "cpu", LOOK_EVERY["cuda"])
    with HostReads() as reads:
        responses = generate(model, PROMPTS, uniform_draws(0, 4, 40), SamplingSettings(40, top_k=1), end_tokens=[-1])
    assert [len(row) for row in responses] == [40] * 4
    assert reads.count == 40 // 8


def test_attention_takes_the_bias_of_its_mask_as_it_is_in_every_layer(
    model: GPT2LMHeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mask of booleans, or a bias whose rows don't begin at multiples of 8, PyTorch converts anew in each layer."""
    biases: list[Tensor] = []
    attention = F.scaled_dot_product_attention

    def watched(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor, scale: float) -> Tensor:
        biases.append(attn_mask)
        return attention(q, k, v, attn_mask=attn_mask, scale=scale)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    generate(model, PROMPTS, uniform_draws(0, 4, 11), SamplingSettings(11, top_k=1), end_tokens=[-1])
    assert len(biases) == 11 * model.config.n_layer
    assert len({bias.data_ptr() for bias in biases}) == 2  # of the prompts, and of all tokens after them
    for bias in biases:
        assert bias.dtype == model.dtype
        *strides, last = bias.stride()
        assert last == 1
        assert all(stride % 8 == 0 for stride in strides)


def test_sampling_follows_the_models_distribution(model: GPT2LMHeadModel) -> None:
    count, settings = 4000, SamplingSettings(1, temperature=0.7, top_k=5)
    prompt = [5, 6, 7]
    first = [
        row[0] if row else END for row in generate(model, [prompt] * count, uniform_draws(1, count, 1), settings, [END])
    ]
    with torch.no_grad():
        top = torch.topk(model(torch.tensor([prompt])).logits[0, -1] / 0.7, 5)
    expected = dict(zip(top.indices.tolist(), torch.softmax(top.values, 0).tolist(), strict=True))
    assert set(first) <= expected.keys()
    for token, probability in expected.items():
        error = 4 * (probability * (1 - probability) / count) ** 0.5  # four standard errors
        assert first.count(token) / count == pytest.approx(probability, abs=error)


def test_generation_leaves_the_mode_as_it_was(model: GPT2LMHeadModel) -> None:
    model.train()
    generate(model, PROMPTS[:1], uniform_draws(0, 1, 2), SamplingSettings(2), [END])
    assert model.training
    model.eval()
