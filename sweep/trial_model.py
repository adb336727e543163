"""The model of a trial: as it begins, and as it is judged."""

import torch
from transformers import GPT2LMHeadModel

from model.gpt2_lora import add_adapters, assign_trained, load_base, select_trainable, trained_parameters
from model.lora_linear import LoRASettings
from sweep.trial import TrialConfig


def build_model(config: TrialConfig, base_model: str) -> GPT2LMHeadModel:
    """The model of a trial as it is before its first step: base weights, fresh adapters, and what trains chosen."""
    model = load_base(base_model, config.tie_head)
    for dropout in (module for module in model.modules() if isinstance(module, torch.nn.Dropout)):
        dropout.p = config.dropout
    if config.rank is not None and config.alpha is not None and config.targets is not None:
        lora = LoRASettings(config.rank, config.alpha, config.targets)
        add_adapters(model, lora, torch.Generator().manual_seed(config.seed))
    select_trainable(model, config.method, config.also_train or ())
    return model


def in_fp32(model: GPT2LMHeadModel, config: TrialConfig, base_model: str) -> GPT2LMHeadModel:
    """The trained `model` as it is judged: in fp32 like the base model, whose frozen weights bf16 training rounds."""
    if all(p.dtype == torch.float32 for p in model.parameters()):
        return model
    judged = build_model(config, base_model).to(model.device)
    assign_trained(judged, dict(trained_parameters(model)))
    return judged
