"""Which architectures are refused, in words that say what they are, and what LoRA targets stand for."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, PretrainedConfig

from basis.errors import UserError
from model.architectures import (
    ACCEPTED,
    ArchitectureError,
    blocks_of,
    projections_of,
    refuse_targets,
    refuse_unknown,
    targeted,
)
from model.decoder import check_decoder, refuse_other_attention
from model.head import logits_of
from sweep.memory.shape import read_shape
from tests.architectures import CONFIGS, tiny_model

SMALL = {"vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
QUANTISED = {"quant_method": "gptq", "bits": 4}


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_held_to_transformers_is_accepted(name: str) -> None:
    refuse_unknown(CONFIGS[name])
    if not name.startswith("gpt2"):  # which has a forward pass of its own
        check_decoder(tiny_model(name))


@pytest.mark.parametrize(
    ("architecture", "values", "flaw"),
    [
        ("Mixtral", {}, "a mixture of 8 experts"),
        ("Qwen3Moe", {}, "a mixture of 128 experts"),
        ("Dbrx", {}, "a mixture of 4 experts"),
        ("T5", {}, "which has an encoder beside its decoder"),
        ("Bart", {}, "which has an encoder beside its decoder"),
        ("Llama", {"quantization_config": QUANTISED}, "whose weights are quantised"),
        ("Qwen3Next", {"num_experts": 0}, "which has layers of linear_attention"),
        ("Mamba", {}, "which has layers of linear_attention"),
        ("FalconH1", {}, "which has layers of hybrid"),
        ("Rwkv", {}, "which has no attention"),
        ("Gemma3", {}, "which reads more than text"),
        ("DebertaV2", {}, "which is no language model of transformers"),
        ("Bloom", {}, "which has no limit of positions"),
    ],
)
def test_what_is_not_trained_here_is_refused_by_its_configuration(
    architecture: str, values: dict[str, Any], flaw: str
) -> None:
    config = getattr(transformers, f"{architecture}Config")(**values, architectures=[f"{architecture}ForCausalLM"])
    with pytest.raises(ArchitectureError) as refused:
        refuse_unknown(config)
    assert str(refused.value) == f"it is a {architecture}ForCausalLM, {flaw}; {ACCEPTED}"


@pytest.mark.parametrize(
    "config",
    [
        transformers.FalconConfig(**SMALL),
        transformers.GPTJConfig(vocab_size=120, n_embd=32, n_layer=2, n_head=4, n_positions=64, rotary_dim=4),
        transformers.DiffLlamaConfig(**SMALL, intermediate_size=64),
        transformers.BertConfig(**SMALL, intermediate_size=64),
    ],
    ids=lambda config: str(config.model_type),
)
def test_attention_that_is_a_models_own_is_refused(config: PretrainedConfig) -> None:
    refuse_unknown(config)
    with pytest.raises(ArchitectureError, match="whose attention is not transformers' causal interface; accepted: "):
        refuse_other_attention(config)


def test_a_forward_pass_that_differs_from_transformers_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = transformers.LlamaConfig(**SMALL, intermediate_size=64)
    refuse_other_attention(config)
    model = AutoModelForCausalLM.from_config(config).eval()
    check_decoder(model)
    monkeypatch.setattr("model.decoder.logits_of", lambda model, hidden: 1.1 * logits_of(model, hidden))
    with pytest.raises(ArchitectureError, match=r"it is a LlamaForCausalLM, whose logits differ here .* by 10.0 %"):
        check_decoder(model)


@pytest.mark.parametrize(
    ("name", "target", "projections"),
    [
        ("llama", "attention_in", {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}),
        ("llama", "attention_out", {"self_attn.o_proj"}),
        ("llama", "mlp_in", {"mlp.gate_proj", "mlp.up_proj"}),
        ("llama", "mlp_out", {"mlp.down_proj"}),
        ("llama", "q_proj", {"self_attn.q_proj"}),
        ("llama", "self_attn.q_proj", {"self_attn.q_proj"}),
        ("opt", "mlp_in", {"fc1"}),
        ("opt", "mlp_out", {"fc2"}),
        ("opt", "attention_out", {"self_attn.out_proj"}),
        ("phi", "attention_out", {"self_attn.dense"}),
        ("phi3", "attention_in", {"self_attn.qkv_proj"}),
        ("gpt-neox", "attention_out", {"attention.dense"}),
        ("gpt-neox", "mlp_in", {"mlp.dense_h_to_4h"}),
        ("gpt-neox", "mlp_out", {"mlp.dense_4h_to_h"}),
        ("gpt2-relu", "mlp_out", {"mlp.c_proj"}),
        ("gpt2-relu", "all-linear", {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}),
    ],
)
def test_a_target_stands_for_the_projections_that_do_its_work(name: str, target: str, projections: set[str]) -> None:
    model = tiny_model(name)
    refuse_targets(model, (target,))
    of_block = [projection for projection, _ in projections_of(blocks_of(model)[0])]
    assert {projection for projection in of_block if targeted(projection, (target,))} == projections


def test_a_target_that_a_model_lacks_is_refused_with_those_that_it_has() -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(CONFIGS["llama"])
    with pytest.raises(ArchitectureError) as refused:
        refuse_targets(model, ("q_proj", "c_attn"))
    assert str(refused.value) == (
        "'c_attn' is no projection of a LlamaForCausalLM; accepted: attention_in, attention_out, mlp_in, mlp_out, "
        "head, all-linear, q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
    )


def test_a_model_with_code_of_its_own_is_refused_and_its_code_is_not_run(tmp_path: Path) -> None:
    config = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text("raise SystemExit")
    with pytest.raises(UserError) as refused:
        read_shape(str(tmp_path), "model.name", "me/mine")
    assert str(refused.value) == (
        "model.name: 'me/mine' can't be read as a model: it needs code of its own, which is never run; "
        "accepted: an architecture that Transformers itself has"
    )
