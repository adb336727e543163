"""Our forward pass against Hugging Face's on the same modules, for the configurations that change its arithmetic."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from basis.fields import PROJECTION_TARGETS
from model.cross_entropy import chunked_cross_entropy
from model.forward import hidden_states
from model.gpt2_lora import add_adapters, select_trainable
from model.head import head_terms
from model.lora_linear import LoRASettings


def small_gpt2(**changes: Any) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    fields = {
        "vocab_size": 61, "n_positions": 32, "n_embd": 24, "n_layer": 3, "n_head": 2, "bos_token_id": 0,
        "eos_token_id": 0, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "initializer_range": 0.2,
    } | changes  # fmt: skip
    return GPT2LMHeadModel(GPT2Config(**fields)).double()


def logits(model: GPT2LMHeadModel, tokens: Tensor) -> Tensor:
    hidden = hidden_states(model, tokens)
    return sum((x @ w.T for x, w in head_terms(model, hidden.flatten(0, 1))), torch.zeros(())).view(*tokens.shape, -1)


TOKENS = torch.randint(0, 61, (3, 17), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation_function": "gelu_pytorch_tanh"},
        {"activation_function": "relu"},
        {"scale_attn_by_inverse_layer_idx": True},
        {"scale_attn_weights": False},
        {"reorder_and_upcast_attn": True},
        {"tie_word_embeddings": False},
        {"n_inner": 40},
    ],
    ids=str,
)
def test_logits_are_hugging_faces(changes: dict[str, Any]) -> None:
    model = small_gpt2(**changes).eval()
    torch.testing.assert_close(logits(model, TOKENS), model(TOKENS).logits, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("targets", [PROJECTION_TARGETS, (*PROJECTION_TARGETS, "head")], ids=["blocks", "with head"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_loss_and_every_gradient_are_hugging_faces(method: Any, targets: tuple[str, ...]) -> None:
    model = small_gpt2()
    add_adapters(model, LoRASettings(3, 6, targets), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    select_trainable(model.double(), method, () if method == "full" else ("embeddings", "biases", "layernorms"))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    theirs = torch.nn.functional.cross_entropy(model(TOKENS[:, :-1]).logits.flatten(0, 1), TOKENS[:, 1:].flatten())
    expected = torch.autograd.grad(theirs, list(trained.values()))
    hidden = hidden_states(model, TOKENS[:, :-1]).flatten(0, 1)
    ours = chunked_cross_entropy(TOKENS[:, 1:].flatten(), *head_terms(model, hidden))
    torch.testing.assert_close(ours, theirs)
    for name, gradient, reference in zip(
        trained, torch.autograd.grad(ours, list(trained.values())), expected, strict=True
    ):
        torch.testing.assert_close(gradient, reference, msg=lambda text, name=name: f"{name}: {text}")


def test_dropout_acts_in_training_at_the_rates_of_the_model_and_never_in_evaluation() -> None:
    model = small_gpt2(resid_pdrop=0.5, embd_pdrop=0.0, attn_pdrop=0.0)
    plain = small_gpt2()
    assert torch.equal(logits(model.eval(), TOKENS), logits(plain, TOKENS))
    assert not torch.allclose(logits(model.train(), TOKENS), logits(plain, TOKENS))
    only_attention = small_gpt2(attn_pdrop=0.5).train()
    assert not torch.allclose(logits(only_attention, TOKENS), logits(plain, TOKENS))
