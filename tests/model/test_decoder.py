"""Every architecture against transformers' own model and PEFT's adapters: what it computes, and how it trains."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import GPT2LMHeadModel, PreTrainedModel

from basis.fields import PROJECTION_TARGETS
from model.batch import Batch
from model.decoder import decoder_states, place_dropout, prepare_decoder
from model.forward import hidden_states
from model.generate import SamplingSettings, generate, uniform_draws
from model.gpt2_lora import add_adapters, select_trainable, trained_parameters
from model.head import logits_of
from model.lora_linear import LoRALinear, LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.sft import SFTRun, SFTSettings
from tests.architectures import CONFIGS, END, VOCABULARY, tiny_model

CPU = torch.device("cpu")
RATE = 3e-3
LORA = LoRASettings(3, 6, (*PROJECTION_TARGETS, "head"))


@pytest.fixture(scope="module", params=CONFIGS)
def name(request: pytest.FixtureRequest) -> str:
    """An architecture; tests of one come one after the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def windows() -> Tensor:
    """Eight windows of 24 tokens and their targets, three times as long as what a sliding window sees."""
    return torch.randint(0, VOCABULARY, (8, 25), generator=torch.Generator().manual_seed(1))


def train(run: SFTRun, windows: Tensor) -> Tensor:
    """One step; the only place that knows how a run is given its tokens."""
    return run.train_step(Batch(windows))


def adapted(model: PreTrainedModel, also_train: Sequence[str] = ()) -> PreTrainedModel:
    """With an adapter on every projection and the head, whose B is not zero, so that gradients reach A."""
    add_adapters(model, LORA, torch.Generator().manual_seed(0))
    drawn = torch.Generator().manual_seed(2)
    for layer in model.modules():
        if isinstance(layer, LoRALinear):
            nn.init.normal_(layer.lora_B, std=0.1, generator=drawn)
    select_trainable(model, "lora", also_train)
    return model


def hugging_face(ours: PreTrainedModel, base: PreTrainedModel) -> PreTrainedModel:
    """PEFT's adapters around `base`, with the values of `ours`, and the same parameters training."""
    names = [name for name, layer in ours.named_modules() if isinstance(layer, LoRALinear)]
    if not names:
        return base.requires_grad_(True)
    settings = LoraConfig(r=LORA.rank, lora_alpha=LORA.alpha, target_modules=names, fan_in_fan_out=has_conv1d(base))
    theirs = get_peft_model(base, settings)
    values = dict(ours.named_parameters())
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            own = our_name(name)
            parameter.copy_(values[own])
            parameter.requires_grad_(values[own].requires_grad)
    return theirs


def has_conv1d(model: PreTrainedModel) -> bool:
    """Whether its projections lie as GPT-2's, about which PEFT wants to be told."""
    return isinstance(model, GPT2LMHeadModel)


def our_name(peft_name: str) -> str:
    """What we call a parameter of PEFT's."""
    return peft_name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".default.weight", "")


def a_run(model: PreTrainedModel, optimized: bool = True, **settings: Any) -> SFTRun:
    """A run of `model` by AdamW in uneven micro-batches; without an optimizer, gradients stay behind a step."""
    optimizers = build_optimizers(model, OptimizerSettings("adamw", lr=RATE)) if optimized else []
    return SFTRun(model, optimizers, SFTSettings(steps=20, lr=RATE, micro_batch=3, **settings), CPU)


def their_loss(model: nn.Module, windows: Tensor) -> Tensor:
    return F.cross_entropy(model(windows[:, :-1], use_cache=False).logits.flatten(0, 1), windows[:, 1:].flatten())


@torch.no_grad()
def test_logits_are_transformers_own(name: str, windows: Tensor) -> None:
    model = tiny_model(name)
    wanted = model(windows, use_cache=False).logits
    if isinstance(model, GPT2LMHeadModel):
        states = hidden_states(model, windows)
    else:
        prepare_decoder(model)
        states = decoder_states(model, windows)
    torch.testing.assert_close(logits_of(model, states.flatten(0, 1)).view(wanted.shape), wanted, rtol=0, atol=2e-5)


CASES: dict[str, Callable[[PreTrainedModel], PreTrainedModel]] = {
    "full": lambda model: model,
    "lora": adapted,
    "lora and embeddings": lambda model: adapted(model, ("embeddings",)),
}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", list(CONFIGS))
def test_loss_and_every_gradient_of_a_step_are_hugging_faces(name: str, case: str, tied: bool, windows: Tensor) -> None:
    ours = CASES[case](tiny_model(name, tied))
    theirs = hugging_face(ours, tiny_model(name, tied))
    wanted = their_loss(theirs, windows)
    wanted.backward()
    loss = train(a_run(ours, optimized=False), windows)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    gradients = {our_name(name): p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    assert gradients.keys() == {name for name, _ in trained_parameters(ours)}
    for parameter_name, parameter in trained_parameters(ours):
        expected = gradients[parameter_name]
        error = float((parameter.grad - expected).abs().max() / expected.abs().max().clamp_min(1e-4))
        assert error < 1e-4, parameter_name


@pytest.mark.slow
@pytest.mark.parametrize("case", ["full", "lora"])
@pytest.mark.parametrize("name", list(CONFIGS))
def test_twenty_steps_of_adamw_are_hugging_faces(name: str, case: str, windows: Tensor) -> None:
    ours = CASES[case](tiny_model(name))
    theirs = hugging_face(ours, tiny_model(name))
    run = a_run(ours)
    trained = [p for p in theirs.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, RATE, (0.9, 0.95), weight_decay=0)
    losses = []
    for step in range(20):
        batch = windows[:4] if step % 2 else windows[4:]
        wanted = their_loss(theirs, batch)
        optimizer.zero_grad()
        wanted.backward()
        optimizer.step()
        losses.append(wanted.item())
        assert train(run, batch).item() == pytest.approx(wanted.item(), rel=1e-4)
    assert losses[-1] < losses[0] - 0.1  # it did learn


PROMPTS = [[5, 6, 7], [1, 2, 3, 4, 5, 6, 8, 9, 10, 11], [9], [11, 12, 13, 14, 15]]


def test_greedy_tokens_are_transformers_own(name: str) -> None:
    """With an untied head, since a tied one of random weights says the same token for ever; past the sliding window."""
    ours, theirs = tiny_model(name, tied=False), tiny_model(name, tied=False)
    responses = generate(ours, PROMPTS, uniform_draws(0, 4, 16), SamplingSettings(16, top_k=1), [END])
    assert max(len(set(tokens)) for tokens in responses) > 5
    for prompt, tokens in zip(PROMPTS, responses, strict=True):
        ids = torch.tensor([prompt])
        wanted = theirs.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False, pad_token_id=END
        )[0, len(prompt) :].tolist()
        assert tokens == (wanted[: wanted.index(END)] if END in wanted else wanted)


@pytest.mark.parametrize("case", ["full", "lora"])
def test_a_run_that_was_stopped_goes_on_to_the_bit(name: str, case: str, windows: Tensor) -> None:
    whole, first, second = (a_run(with_dropout(CASES[case](tiny_model(name)))) for _ in range(3))
    losses = [train(whole, batch).item() for batch in windows.split(2)]
    assert [train(first, batch).item() for batch in windows.split(2)[:2]] == losses[:2]
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert [train(second, batch).item() for batch in windows.split(2)[2:]] == losses[2:]
    assert_same_weights(second, whole)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", ["full", "lora"])
def test_checkpointed_activations_change_nothing_to_the_bit(
    name: str, case: str, precision: str, windows: Tensor
) -> None:
    plain, checkpointed = (
        a_run(with_dropout(CASES[case](tiny_model(name))), activation_checkpointing=keeps, precision=precision)
        for keeps in (False, True)
    )
    for batch in windows.split(4):
        assert train(checkpointed, batch).item() == train(plain, batch).item()
    assert_same_weights(checkpointed, plain)


def with_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """With a tenth of everything dropped that can be."""
    place_dropout(model, 0.1)
    return model


def assert_same_weights(a: SFTRun, b: SFTRun) -> None:
    """To the bit."""
    assert all(torch.equal(x, y) for x, y in zip(a.model.parameters(), b.model.parameters(), strict=True))


@pytest.mark.parametrize("case", ["full", "lora"])
def test_bf16_changes_losses_by_its_rounding_alone(name: str, case: str, windows: Tensor) -> None:
    rounded, plain = (a_run(CASES[case](tiny_model(name)), precision=precision) for precision in ("bf16", "fp32"))
    losses = [[train(run, batch).item() for batch in windows.split(4)] for run in (rounded, plain)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert all(p.dtype == torch.float32 for _, p in trained_parameters(rounded.model))
    frozen = {layer.weight.dtype for layer in rounded.model.modules() if isinstance(layer, LoRALinear)}
    assert frozen <= {torch.bfloat16, torch.float32}


def test_dropout_drops_where_there_is_a_layer_for_it(name: str, windows: Tensor) -> None:
    dropping, plain = a_run(with_dropout(tiny_model(name))), a_run(tiny_model(name))
    assert dropping.evaluate(Batch(windows)) == plain.evaluate(Batch(windows))
    assert train(dropping, windows).item() != train(plain, windows).item()
