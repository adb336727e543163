"""How large a model is, counted from its modules without a weight being made."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from model.architectures import blocks_of, head_of, projections_of


@dataclass(frozen=True)
class ModelSizes:
    """Sizes of a model.

    Attributes:
        blocks: transformer blocks.
        width: of the residual stream.
        attention_width: of all heads of queries together.
        key_width: of all heads of keys together, which is that of the values.
        block_matrices: weights in the matrices of all blocks.
        head_matrix: weights of the head's matrix, whether or not it is the embedding.
        parameters: weights in all, a tied one once.
    """

    blocks: int
    width: int
    attention_width: int
    key_width: int
    block_matrices: int
    head_matrix: int
    parameters: int


class ConfigKey:
    """A model's configuration as a key of a cache: equal if all its values are."""

    def __init__(self, config: PretrainedConfig) -> None:
        self.config = config
        self._values = (config.model_type, config.to_json_string(use_diff=False))

    def __hash__(self) -> int:
        return hash(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConfigKey) and self._values == other._values


def model_sizes(config: PretrainedConfig) -> ModelSizes:
    """The sizes of a model of that configuration."""
    return _sizes(ConfigKey(config))


def skeleton(config: PretrainedConfig) -> PreTrainedModel:
    """A model of that configuration whose weights have shapes and no storage. Callers leave it as it is."""
    return _skeleton(ConfigKey(config))


@lru_cache(maxsize=8)
def _skeleton(key: ConfigKey) -> PreTrainedModel:
    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(key.config)
    return model


@lru_cache(maxsize=64)
def _sizes(key: ConfigKey) -> ModelSizes:
    config, model = key.config, skeleton(key.config)
    heads = config.num_attention_heads
    head_width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return ModelSizes(
        blocks=config.num_hidden_layers,
        width=config.hidden_size,
        attention_width=heads * head_width,
        key_width=(getattr(config, "num_key_value_heads", None) or heads) * head_width,
        block_matrices=sum(layer.weight.numel() for block in blocks_of(model) for _, layer in projections_of(block)),
        head_matrix=head_of(model).weight.numel(),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )
