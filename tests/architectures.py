"""Tiny random models of the architectures that the tests hold to transformers' own."""

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

VOCABULARY, LENGTH, WINDOW = 120, 64, 8
END = 0

_SHARED: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": LENGTH, "initializer_range": 0.2, "bos_token_id": END, "eos_token_id": END,
    "pad_token_id": END,
}  # fmt: skip
_WIDE = {**_SHARED, "intermediate_size": 48}
_GROUPED = {**_WIDE, "num_key_value_heads": 2}
_GEMMA = {
    **_GROUPED, "head_dim": 16, "query_pre_attn_scalar": 32, "sliding_window": WINDOW,
    "layer_types": ["sliding_attention", "full_attention"],
}  # fmt: skip

CONFIGS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**_GROUPED),
    "qwen2": Qwen2Config(**_GROUPED),  # biases of queries, keys and values
    "qwen3": Qwen3Config(**_GROUPED, head_dim=16),  # norms of queries and keys
    "smollm3": SmolLM3Config(**_GROUPED, no_rope_layers=[1, 0]),  # a tied head, layers without positions
    "gemma2": Gemma2Config(**_GEMMA, final_logit_softcapping=2.0, attn_logit_softcapping=2.0),
    "gemma3": Gemma3TextConfig(**_GEMMA),  # a tied head, a scaled embedding
    "mistral": MistralConfig(**_GROUPED, sliding_window=WINDOW),
    "phi": PhiConfig(**_WIDE, partial_rotary_factor=0.5),  # a parallel block, a bias of the head
    "phi3": Phi3Config(**_GROUPED),  # one projection for queries, keys and values
    "gpt-neox": GPTNeoXConfig(**_WIDE, rotary_pct=0.5),
    "opt": OPTConfig(**_SHARED, ffn_dim=48, word_embed_proj_dim=32, init_std=0.2),
    "gpt2-relu": GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=LENGTH, activation_function="relu",
        initializer_range=0.2, bos_token_id=END, eos_token_id=END,
    ),
}  # fmt: skip
"""By name. Weights are large enough for attention to matter and for greedy tokens to vary."""


def tiny_model(name: str, tied: bool | None = None) -> PreTrainedModel:
    """A model of an architecture, the same in every call, without dropout and with transformers' plain attention.

    Args:
        name: of CONFIGS.
        tied: whether the head is the embedding; None: as the architecture has it.
    """
    values = CONFIGS[name].to_dict()
    values |= {key: 0.0 for key, value in values.items() if "drop" in key and isinstance(value, float)}
    config = type(CONFIGS[name])(**values)
    if tied is not None:
        config.tie_word_embeddings = tied
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases, which begin at one or at zero
            if parameter.dim() == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()
