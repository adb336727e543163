"""A decoder's layers compute what transformers' do, from fewer tensors."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from model.decoder import decoder_states, prepare_decoder
from model.decoder_layers import rms_norm, rotate
from model.gpt2_lora import add_adapters, merge
from model.lora_linear import LoRASettings
from model.projection import project

SIZES = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "pad_token_id": 0}


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS, attention_bias=True))


def qwen() -> PreTrainedModel:
    return Qwen3ForCausalLM(Qwen3Config(**SIZES, **HEADS))


def gemma() -> PreTrainedModel:
    return Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, **HEADS, sliding_window=4))


@pytest.mark.parametrize("build", [llama, qwen, gemma])
def test_a_model_with_our_layers_has_the_loss_and_gradients_of_transformers(build: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    theirs = build()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.3)
    ours = copy.deepcopy(theirs)
    prepare_decoder(ours)
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]
    rows = torch.randint(50, (2, 9))
    losses = [model(input_ids=rows, labels=rows).loss for model in (ours, theirs)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    for (name, mine), wanted in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(
            mine.grad, wanted.grad, rtol=1e-4, atol=1e-5, msg=lambda told, name=name: name + told
        )
        assert mine.grad is not None
        assert mine.grad.stride() == mine.stride(), "or autograd would copy it"


def test_a_copy_of_a_model_with_our_layers_has_weights_of_its_own() -> None:
    model = llama()
    prepare_decoder(model)
    rows = torch.randint(50, (1, 5))
    before = model(input_ids=rows).logits
    for parameter in copy.deepcopy(model).parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(model(input_ids=rows).logits, before, rtol=0, atol=0)


def test_gradients_are_those_of_finite_differences() -> None:
    x, up = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, w, 1e-5), (x, weight))
    cos, sin = torch.randn(2, 3, 1, 5, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: rotate(x, cos, sin), (torch.stack((x, up), 1),))
    kernel, A, B = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((6, 4), (2, 6), (4, 2)))
    for activation in (nn.functional.silu, nn.GELU("tanh")):

        def down(x: Tensor, gate: Tensor, kernel: Tensor, A: Tensor, B: Tensor, act: Any = activation) -> Tensor:
            return project(x, kernel, None, (A, B, 0.5), gate=(gate, act))

        assert torch.autograd.gradcheck(down, (x, up, kernel, A, B))


def test_a_norm_and_a_gated_projection_keep_their_inputs_alone() -> None:
    x, up, gate = torch.randn(3, 4, 8, requires_grad=True)
    kernel = torch.randn(8, 5, requires_grad=True)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        rms_norm(x, torch.ones(8), 1e-5)
        project(up, kernel, None, gate=(gate, nn.functional.silu))
    inputs = {tensor.data_ptr() for tensor in (x, up, gate, kernel)}
    assert sum(tensor.numel() for tensor in kept if tensor.data_ptr() not in inputs) == 8 + 4, "weight and scale"


@torch.no_grad()
def test_a_model_that_was_made_ready_runs_after_its_adapters_are_merged() -> None:
    model = llama()
    add_adapters(model, LoRASettings(2, 4, ("mlp_out",)), torch.Generator().manual_seed(0))
    for name, parameter in model.named_parameters():
        if name.endswith("lora_B"):
            parameter.fill_(0.1)
    prepare_decoder(model)
    tokens = torch.arange(6)[None]
    adapted = decoder_states(model, tokens)
    torch.testing.assert_close(decoder_states(merge(model), tokens), adapted)
