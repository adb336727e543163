"""An adapter that was trained with loralib is loaded by plain PEFT, and computes the same logits."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from basis.fields import TrainedGroup
from model.gpt2_lora import add_adapters, load_base, select_trainable, trained_parameters, untie_head
from model.lora_linear import LoRASettings
from model.peft_export import ExportError, as_peft, learnt_by, logits_on, probe_tokens, shortest_names

TIED = "tied", "untied here", "own head"


def save_base(kind: str, own_head: bool, folder: Path) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "tie_word_embeddings": not own_head}
    model: PreTrainedModel
    if kind == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=16, n_head=2, n_positions=32, **sizes))
    else:
        shape = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 24, "max_position_embeddings": 32}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "attention_bias": True}
        model = LlamaForCausalLM(LlamaConfig(**shape, **heads, **sizes))
    model.save_pretrained(folder)


def trained(folder: Path, settings: LoRASettings, also_train: tuple[TrainedGroup, ...], untie: bool) -> PreTrainedModel:
    """A model in which everything that trains has moved."""
    model = load_base(folder)
    if untie:
        untie_head(model)
    generator = torch.Generator().manual_seed(1)
    add_adapters(model, settings, generator)
    select_trainable(model, "lora", also_train)
    with torch.no_grad():
        for _, parameter in trained_parameters(model):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


CASES: dict[str, tuple[LoRASettings, tuple[TrainedGroup, ...]]] = {
    "default targets": (LoRASettings(2, 32.0), ()),
    "attention alone, rsLoRA": (LoRASettings(3, 8.0, ("attention_in",), "alpha/sqrt(r)"), ()),
    "the mlp's second half": (LoRASettings(2, 4.0, ("mlp_out",)), ()),
    "all linear and the head": (LoRASettings(2, 4.0, ("all-linear", "head")), ()),
    "embeddings": (LoRASettings(2, 4.0), ("embeddings",)),
    "biases and norms": (LoRASettings(2, 4.0), ("biases", "layernorms")),
    "everything": (LoRASettings(2, 4.0), ("embeddings", "biases", "layernorms", "head")),
}


@pytest.mark.parametrize("head", TIED)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("case", CASES)
def test_plain_peft_computes_the_logits_of_the_trained_model(kind: str, head: str, case: str, tmp_path: Path) -> None:
    settings, also_train = CASES[case]
    save_base(kind, head == "own head", tmp_path / "base")
    model = trained(tmp_path / "base", settings, also_train, untie=head == "untied here")
    tokens = probe_tokens(model)
    wanted = logits_on(model, tokens)

    learnt = learnt_by(model, settings.alpha, settings.scaling)
    as_peft(tmp_path / "base", learnt, also_train).save_pretrained(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    loaded = PeftModel.from_pretrained(base, tmp_path / "adapter")
    assert torch.allclose(logits_on(loaded, tokens), wanted, atol=1e-5)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["fan_in_fan_out"] == (kind == "gpt2")
    assert config["use_rslora"] == (settings.scaling == "alpha/sqrt(r)")


def test_what_peft_has_no_place_for_is_refused(tmp_path: Path) -> None:
    save_base("gpt2", False, tmp_path / "base")
    settings = LoRASettings(2, 4.0)
    model = trained(tmp_path / "base", settings, ("layernorms",), untie=False)
    with pytest.raises(
        ExportError, match=r"PEFT has no place for 10 weights that were trained \(first: transformer\.h"
    ):
        as_peft(tmp_path / "base", learnt_by(model, settings.alpha, settings.scaling), ())


def test_a_base_model_that_is_another_is_noticed(tmp_path: Path) -> None:
    save_base("gpt2", False, tmp_path / "base")
    settings = LoRASettings(2, 4.0)
    learnt = learnt_by(trained(tmp_path / "base", settings, (), untie=False), settings.alpha, settings.scaling)
    other = load_base(tmp_path / "base")
    with torch.no_grad():
        other.get_input_embeddings().weight[0] *= 1.01
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ExportError, match="logits would differ"):
        as_peft(tmp_path / "other", learnt, ())


def test_names_are_as_short_as_they_can_be_and_no_shorter() -> None:
    names = ["h.0.attn.c_attn", "h.0.attn.c_proj", "h.0.mlp.c_fc", "h.0.mlp.c_proj", "lm_head"]
    assert shortest_names(names[:4], names) == ["c_attn", "c_proj", "c_fc"]
    assert shortest_names(["h.0.attn.c_proj"], names) == ["attn.c_proj"]
    assert shortest_names([], names) == []
