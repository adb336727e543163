"""The model against Hugging Face's and the formula by hand: adapters, merging, strict saving, what trains."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from basis.fields import PROJECTION_TARGETS
from model.batch import Batch
from model.gpt2_lora import (
    SHAPES,
    add_adapters,
    cast_frozen_projections,
    gpt2_config,
    load_base,
    load_trained,
    merge,
    save_trained,
    select_trainable,
    trained_parameters,
    untie_head,
)
from model.lora_linear import LoRALinear, LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.sft import SFTRun, SFTSettings

EVERYWHERE = (*PROJECTION_TARGETS, "head")
TOKENS = torch.tensor([[3, 14, 15, 9, 2, 6], [5, 3, 5, 8, 9, 7]])


def small_gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=61,
        n_positions=32,
        n_embd=24,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
    )
    return GPT2LMHeadModel(config).eval()


def with_adapters(model: GPT2LMHeadModel, targets: tuple[str, ...] = EVERYWHERE, rank: int = 3) -> GPT2LMHeadModel:
    """Adapters whose B is not zero, as after training."""
    add_adapters(model, LoRASettings(rank, alpha=6.0, targets=targets), torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    return model


@torch.no_grad()
def logits(model: GPT2LMHeadModel) -> Tensor:
    return model.eval()(TOKENS).logits


def test_a_fresh_adapter_leaves_hugging_faces_logits_as_they_are() -> None:
    reference = logits(small_gpt2())
    model = small_gpt2()
    add_adapters(model, LoRASettings(4, 32.0, EVERYWHERE), torch.Generator().manual_seed(0))
    assert torch.equal(logits(model), reference)
    assert all(p.abs().sum() > 0 for name, p in model.named_parameters() if "lora_A" in name)


@pytest.mark.parametrize("target", EVERYWHERE)
def test_a_layer_computes_w_plus_scaled_b_a(target: str) -> None:
    model = with_adapters(small_gpt2(), (target,))
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoRALinear)}
    assert len(layers) == (1 if target == "head" else 2)
    for layer in layers.values():
        weight = layer.weight.T if layer.fan_in_fan_out else layer.weight  # (out, in)
        x = torch.randn(5, weight.shape[1])
        expected = x @ (weight + (6.0 / 3) * layer.lora_B @ layer.lora_A).T
        expected = expected if layer.bias is None else expected + layer.bias
        torch.testing.assert_close(layer(x), expected)


def test_names_and_weights_stay_those_of_the_checkpoint() -> None:
    base, model = small_gpt2(), with_adapters(small_gpt2())
    kept = {name: p for name, p in model.state_dict().items() if "lora_" not in name}
    assert kept.keys() == base.state_dict().keys()
    assert all(torch.equal(p, base.state_dict()[name]) for name, p in kept.items())


@pytest.mark.parametrize("untied", [False, True])
def test_merging_keeps_the_logits_and_leaves_a_plain_model(untied: bool, tmp_path: Path) -> None:
    model = small_gpt2()
    if untied:
        untie_head(model)
    before = logits(with_adapters(model))
    merged = merge(model)
    assert not any("lora_" in name for name in merged.state_dict())
    torch.testing.assert_close(
        logits(merged), before, atol=2e-5, rtol=1e-5
    )  # fp32: W + BA rounded once instead of twice
    assert not torch.equal(merged.transformer.wte.weight, merged.lm_head.weight)
    assert torch.equal(merged.transformer.wte.weight, small_gpt2().transformer.wte.weight)
    merged.save_pretrained(tmp_path)
    assert torch.equal(logits(load_base(tmp_path)), logits(merged))


def test_evaluating_and_training_by_turns_never_touches_a_weight() -> None:
    """loralib merges into the weight on eval() and subtracts on train(), which drifts; see LoRALinear."""
    model = with_adapters(small_gpt2())
    before, first = {n: p.clone() for n, p in model.state_dict().items()}, logits(model)
    for _ in range(20):
        model.train()
        model.eval()
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert torch.equal(logits(model), first)


def test_saving_in_evaluation_mode_and_loading_does_not_count_the_adapter_twice(tmp_path: Path) -> None:
    model = with_adapters(small_gpt2())
    select_trainable(model, "lora")
    expected = logits(model)  # leaves the model in evaluation mode
    save_trained(model, tmp_path / "adapters.safetensors")
    fresh = with_adapters(small_gpt2())
    select_trainable(fresh, "lora")
    with torch.no_grad():
        for _, parameter in trained_parameters(fresh):
            parameter.zero_()
    load_trained(fresh, tmp_path / "adapters.safetensors")
    assert torch.equal(logits(fresh), expected)


def test_loading_is_strict_and_changes_nothing_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "adapters.safetensors"
    trained = with_adapters(small_gpt2())
    select_trainable(trained, "lora")
    save_trained(trained, path)

    def expect(model: GPT2LMHeadModel, message: str) -> None:
        before = {name: p.clone() for name, p in model.state_dict().items()}
        with pytest.raises(ValueError, match=message):
            load_trained(model, path)
        assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())

    without = small_gpt2()
    select_trainable(without, "lora")  # the base model: nothing of it trains
    expect(without, "0 keys missing .* unexpected")
    fewer = with_adapters(small_gpt2(), ("mlp_in",))
    select_trainable(fewer, "lora")
    expect(fewer, "unexpected")
    more = with_adapters(small_gpt2())
    select_trainable(more, "lora", ["layernorms"])
    expect(more, "10 keys missing")
    other_rank = with_adapters(small_gpt2(), rank=2)
    select_trainable(other_rank, "lora")
    expect(other_rank, "has shape")


def test_what_trains_is_exactly_what_was_chosen() -> None:
    def trained(method: str, also: tuple[str, ...] = (), untied: bool = False) -> set[str]:
        model = small_gpt2()
        if untied:
            untie_head(model)
        if method == "lora":
            with_adapters(model, ("mlp_in",))
        select_trainable(model, method, also)  # type: ignore[arg-type]
        return {name for name, _ in trained_parameters(model)}

    adapters = {f"transformer.h.{i}.mlp.c_fc.lora_{m}" for i in (0, 1) for m in "AB"}
    layernorms = {f"transformer.h.{i}.ln_{j}.{k}" for i in (0, 1) for j in (1, 2) for k in ("weight", "bias")}
    layernorms |= {"transformer.ln_f.weight", "transformer.ln_f.bias"}
    projections = [
        f"transformer.h.{i}.{name}" for i in (0, 1) for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    embeddings = {"transformer.wte.weight", "transformer.wpe.weight"}
    assert trained("lora") == adapters
    assert trained("lora", ("layernorms",)) == adapters | layernorms
    assert trained("lora", ("biases",)) == adapters | {f"{name}.bias" for name in projections}
    assert trained("lora", ("embeddings",)) == adapters | embeddings
    assert trained("lora", ("head",), untied=True) == adapters | {"lm_head.weight"}
    everything = {f"{name}.{kind}" for name in projections for kind in ("weight", "bias")} | layernorms | embeddings
    assert trained("full") == everything
    assert trained("full", untied=True) == everything | {"lm_head.weight"}


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="'mlp' is no projection of a GPT2LMHeadModel; accepted: attention_in"):
        add_adapters(small_gpt2(), LoRASettings(1, 1.0, ("mlp",)), torch.Generator())
    with pytest.raises(ValueError, match="unknown group 'bias' in also_train"):
        select_trainable(small_gpt2(), "lora", ["bias"])
    with pytest.raises(ValueError, match="tied to the embedding"):
        select_trainable(small_gpt2(), "lora", ["head"])


@pytest.mark.parametrize(
    ("name", "millions"), [("gpt2", 124.4), ("gpt2-medium", 354.8), ("gpt2-large", 774.0), ("gpt2-xl", 1557.6)]
)
def test_published_shapes_have_the_published_sizes(name: str, millions: float) -> None:
    assert name in SHAPES
    with torch.device("meta"):
        model = GPT2LMHeadModel(gpt2_config(name, {}))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_a_head_of_its_own_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    model = small_gpt2()
    untie_head(model)
    with torch.no_grad():
        model.lm_head.weight.mul_(2)
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(load_base(tmp_path)), logits(model))


def test_gradients_reach_the_adapters_alone() -> None:
    model = with_adapters(small_gpt2())
    select_trainable(model, "lora")
    model(TOKENS, labels=TOKENS).loss.backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {name for name, _ in trained_parameters(model)}
    assert all("lora_" in name for name in with_gradient)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells which file memory is mapped from")
def test_base_weights_stay_mapped_from_their_file_while_lora_trains(tmp_path: Path) -> None:
    """So all processes of a machine share one copy, and loading it takes milliseconds."""
    small_gpt2().save_pretrained(tmp_path)
    model = load_base(tmp_path)
    add_adapters(model, LoRASettings(2, 2.0), torch.Generator().manual_seed(0))
    select_trainable(model, "lora")
    optimizers = build_optimizers(model, OptimizerSettings("adamw", lr=0.1))
    run = SFTRun(model, optimizers, SFTSettings(steps=1, lr=0.1, micro_batch=2), torch.device("cpu"))
    run.train_step(Batch(TOKENS))
    mapped = [
        range(*(int(end, 16) for end in line.split()[0].split("-")))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith("model.safetensors")
    ]
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad or any(parameter.data_ptr() in part for part in mapped), name


def test_a_base_that_was_rounded_is_not_merged_into() -> None:
    model = with_adapters(small_gpt2())
    select_trainable(model, "lora")
    cast_frozen_projections(model, torch.bfloat16)
    with pytest.raises(ValueError, match="merge into a base loaded in fp32"):
        merge(model)
