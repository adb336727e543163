"""Which causal language models of transformers are accepted, and what they are made of.

GPT-2 has a forward pass of its own (`model.forward`). All others go through their modules as transformers has them
(`model.decoder`). What a model is made of is told by its modules: blocks are transformers' checkpointed layers, and the
projections of a block are its linear layers, sorted by the names below. Names of architectures and of their modules
stand here alone.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.pytorch_utils import Conv1D

from basis.fields import ALL_LINEAR, PROJECTION_TARGETS, Target

ACCEPTED = "accepted: dense decoder-only language models of transformers, such as GPT-2, Llama, Qwen, Gemma or Mistral"

_ATTENTION = ("attn", "attention")
"""Parts of a module's name that say it belongs to a block's attention."""
_ATTENTION_OUT = ("o_proj", "out_proj", "dense", "c_proj", "wo")
"""Names of the projection behind the attention; its other projections make queries, keys and values."""
_MLP_OUT = ("down_proj", "fc2", "dense_4h_to_h", "c_proj", "fc_out", "w2")
"""Names of the last projection of an MLP."""

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""Fields of a configuration whose number is above 1 in a mixture of experts."""
_LAYERS_WITH_ATTENTION = {"full_attention", "sliding_attention", "attention"}
_NEEDED = {"num_attention_heads": "has no attention", "max_position_embeddings": "has no limit of positions"}
"""Fields of a configuration that must be there, and what is said of an architecture without one."""

_RMS_NORM = "RMSNorm"
"""How names of the classes of such norms end."""
_NORM_OFFSETS = {"gemma": 1.0, "gemma2": 1.0, "gemma3_text": 1.0, "vaultgemma": 1.0}
"""By model type: what is added to the weight of an RMSNorm; to others nothing is."""
_ROTARY_ATTENTION = ("LlamaAttention", "MistralAttention", "Qwen2Attention", "Qwen3Attention")
"""Classes of attention that rotate queries and keys as Llama does, and differ by norms and windows alone."""
_GATED_MLP = ("gate_proj", "up_proj", "down_proj", "act_fn")
"""Names of the modules of an MLP that computes down(act(gate(x)) * up(x)), and has no others."""

_LOGIT_SCALES = {"cohere": "logit_scale", "cohere2": "logit_scale"}
_LOGIT_DIVISORS = {"granite": "logits_scaling"}
"""By model type: the field of its configuration by which logits are multiplied, or divided."""


class ArchitectureError(ValueError):
    """A model that is not trained here. The message is one line, for the user."""


def refuse_unknown(config: PretrainedConfig) -> None:
    """Refuse an architecture by its configuration.

    Raises:
        ArchitectureError: with the architecture's name, what it is, and what is accepted.
    """
    if flaw := _flaw(config):
        raise ArchitectureError(f"it is a {architecture_name(config)}, {flaw}; {ACCEPTED}")


def architecture_name(config: PretrainedConfig) -> str:
    """What messages call an architecture, such as "LlamaForCausalLM"."""
    return str((config.architectures or [f"{config.model_type} model"])[0])


def _flaw(config: PretrainedConfig) -> str | None:
    values: dict[str, Any] = config.to_dict()
    if config.is_encoder_decoder:
        return "which has an encoder beside its decoder"
    if values.get("quantization_config") is not None:
        return "whose weights are quantised"
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return "which is no language model of transformers"
    if values.get("text_config") is not None:
        return "which reads more than text"
    mlp = values | (values.get("ffn_config") or {})
    experts = next((mlp[name] for name in _EXPERTS if isinstance(mlp.get(name), int)), 0)
    if experts > 1:
        return f"a mixture of {experts} experts"
    kinds = getattr(config, "layer_types", None) or ()
    if others := sorted(set(kinds) - _LAYERS_WITH_ATTENTION):
        return f"which has layers of {others[0]}"
    return next((f"which {lack}" for name, lack in _NEEDED.items() if not getattr(config, name, None)), None)


def blocks_of(model: PreTrainedModel) -> nn.ModuleList:
    """The transformer blocks of a model, in order.

    Raises:
        ArchitectureError: they can't be told.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    stacks = [modules for modules in lists if len(modules) and isinstance(modules[0], GradientCheckpointingLayer)]
    if len(stacks) != 1 or len(stacks[0]) != model.config.num_hidden_layers:
        raise ArchitectureError(f"it is a {type(model).__name__}, whose blocks can't be told apart; {ACCEPTED}")
    return stacks[0]


def block_prefix(model: PreTrainedModel) -> str:
    """What names of the blocks begin with, such as "model.layers"."""
    return _name_of(blocks_of(model), model)


def projections_of(block: nn.Module) -> Iterator[tuple[str, nn.Linear | Conv1D]]:
    """Name and module of each linear layer of a block."""
    return ((name, layer) for name, layer in block.named_modules() if isinstance(layer, nn.Linear | Conv1D))


def plain_projections_of(block: nn.Module) -> Iterator[nn.Linear | Conv1D]:
    """Those that no layer of PEFT's is around, and that are no part of one."""
    wrapped = tuple(f"{name}." for name, layer in block.named_modules() if hasattr(layer, "base_layer"))
    return (layer for name, layer in projections_of(block) if not name.startswith(wrapped))


def rms_norms_of(model: PreTrainedModel) -> Iterator[tuple[nn.Module, float, float]]:
    """Each RMSNorm of a model: the module, its epsilon, and what is added to its weight."""
    offset = _NORM_OFFSETS.get(model.config.model_type, 0.0)
    for module in model.modules():
        epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
        weight = getattr(module, "weight", None)
        if type(module).__name__.endswith(_RMS_NORM) and isinstance(epsilon, float) and getattr(weight, "ndim", 0) == 1:
            yield module, epsilon, offset


def gated_mlps_of(model: PreTrainedModel) -> Iterator[nn.Module]:
    """Each MLP of a model that computes down(act(gate(x)) * up(x))."""
    return (module for module in model.modules() if {name for name, _ in module.named_children()} == set(_GATED_MLP))


def rotary_attentions_of(model: PreTrainedModel) -> Iterator[nn.Module]:
    """Each attention of a model that rotates queries and keys as Llama does."""
    return (module for module in model.modules() if type(module).__name__ in _ROTARY_ATTENTION)


def target_of(projection: str) -> Target:
    """Which of the four targets a projection of a block is, by its name there, such as "self_attn.q_proj"."""
    *path, last = projection.split(".")
    if any(part in name for name in path for part in _ATTENTION):
        return "attention_out" if last in _ATTENTION_OUT else "attention_in"
    return "mlp_out" if last in _MLP_OUT else "mlp_in"


def targeted(projection: str, targets: Sequence[str]) -> bool:
    """Whether a projection of a block is one of the LoRA targets, which are the four, "all-linear" or modules' names.

    A module's name may leave out what stands before it: "q_proj" or "self_attn.q_proj".
    """
    names = {target_of(projection), ALL_LINEAR}
    return any(target in names or f".{projection}".endswith(f".{target}") for target in targets)


def refuse_targets(model: PreTrainedModel, targets: Sequence[str]) -> None:
    """Refuse LoRA targets of which a model has none.

    Raises:
        ArchitectureError: with the first, and what is accepted.
    """
    names = [name for name, _ in projections_of(blocks_of(model)[0])]
    for target in targets:
        if target != "head" and not any(targeted(name, (target,)) for name in names):
            own = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in names))
            accepted = f"accepted: {', '.join(PROJECTION_TARGETS)}, head, {ALL_LINEAR}, {own}"
            raise ArchitectureError(f"{target!r} is no projection of a {type(model).__name__}; {accepted}")


def embeddings_of(model: PreTrainedModel) -> list[nn.Module]:
    """The embeddings of tokens and, where there are any, of positions."""
    return [module for module in model.modules() if isinstance(module, nn.Embedding)]


def head_of(model: PreTrainedModel) -> nn.Linear:
    """The output layer."""
    head: nn.Linear = model.get_output_embeddings()
    return head


def head_name(model: PreTrainedModel) -> str:
    """The name of the output layer, "lm_head" or "embed_out"."""
    return _name_of(head_of(model), model)


def _name_of(wanted: nn.Module, model: PreTrainedModel) -> str:
    return str(next(name for name, module in model.named_modules() if module is wanted))


def logit_scale(config: PretrainedConfig) -> float:
    """What the head's products are multiplied by to be logits; 1 for most."""
    if config.model_type in _LOGIT_SCALES:
        return float(getattr(config, _LOGIT_SCALES[config.model_type]))
    if config.model_type in _LOGIT_DIVISORS:
        return 1 / float(getattr(config, _LOGIT_DIVISORS[config.model_type]))
    return 1.0


def logit_softcap(config: PretrainedConfig) -> float | None:
    """The bound c of logits c tanh(z / c), as Gemma 2 has it; None: there is none."""
    cap = getattr(config, "final_logit_softcapping", None)
    return None if cap is None else float(cap)


def shallow(config: PretrainedConfig, blocks: int) -> PretrainedConfig:
    """The same configuration with so many blocks: each kind that there is, and then more of the commonest."""
    values = config.to_dict() | {"num_hidden_layers": blocks}
    if (kinds := values.get("layer_types")) and blocks != len(kinds):
        by_number = [kind for kind, _ in Counter(kinds).most_common()]
        values["layer_types"] = (by_number + by_number[:1] * blocks)[:blocks]
    values.pop(config.attribute_map.get("num_hidden_layers", ""), None)
    smaller: PretrainedConfig = type(config)(**values)
    return smaller
