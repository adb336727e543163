"""A trained model as PEFT knows it: loralib's adapters, and base weights that trained beside them, as one adapter.

PEFT's own classes build the adapter and write it (peft 0.21.2, `peft_model.py`), so that whatever reads PEFT reads it.
Before that, its logits are held to the trained model's.
"""

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from basis.fields import Scaling, TrainedGroup
from model.architectures import embeddings_of, head_name
from model.gpt2_lora import load_base, trained_parameters
from model.lora_linear import LoRALinear
from model.weights import quiet_transformers

ADAPTER = "default"
"""What PEFT calls an adapter that nobody has named."""

CHECKED_TOKENS = 32
MOST_DIFFERENCE = 1e-4
"""Of logits from the trained model's, relative to the largest. Both add the same numbers, in another order: in the 30
layers of SmolLM2-135M that made 1.6e-5 of a difference in fp32, and 1e-7 in the two layers of a test's model."""


class ExportError(ValueError):
    """A model that can't be passed on in the form asked for. The message is one line, for the user."""


@dataclass(frozen=True)
class Trained:
    """What a model with loralib's adapters has learnt, without its base weights.

    Attributes:
        rank: of the adapters.
        alpha: numerator of their factor.
        scaling: what the factor is.
        targets: full names of the modules that have an adapter.
        values: what trained, by the model's names.
        tied: whether the head is the embedding.
        logits: of `probe_tokens`, (T, V).
    """

    rank: int
    alpha: float
    scaling: Scaling
    targets: tuple[str, ...]
    values: dict[str, Tensor]
    tied: bool
    logits: Tensor


def probe_tokens(model: PreTrainedModel) -> Tensor:
    """Some tokens by which two models are compared, (1, T)."""
    length = min(CHECKED_TOKENS, model.config.max_position_embeddings)
    tokens: Tensor = torch.arange(length)[None] * 37 % model.config.vocab_size
    return tokens


@torch.no_grad()
def logits_on(model: nn.Module, tokens: Tensor) -> Tensor:
    """Logits of tokens (1, T), without dropout: (T, V)."""
    logits: Tensor = model.eval()(input_ids=tokens, use_cache=False).logits[0]
    return logits


def learnt_by(model: PreTrainedModel, alpha: float, scaling: Scaling) -> Trained:
    """What a LoRA-trained model has learnt; the model may be freed afterwards.

    Args:
        model: in fp32.
        alpha: of its adapters.
        scaling: likewise.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoRALinear)}
    return Trained(
        rank=next(iter(layers.values())).r,
        alpha=alpha,
        scaling=scaling,
        targets=tuple(layers),
        values={name: parameter.detach().clone() for name, parameter in trained_parameters(model)},
        tied=bool(model.config.tie_word_embeddings),
        logits=logits_on(model, probe_tokens(model)),
    )


def as_peft(folder: str | Path, trained: Trained, also_train: Collection[TrainedGroup]) -> PeftModel:
    """A base model with what was learnt, as PEFT's model.

    Args:
        folder: of the base weights.
        trained: what was learnt.
        also_train: groups of base weights that trained.

    Raises:
        ExportError: PEFT has no place for something that was learnt, or computes other logits.
    """
    base = load_base(folder)
    probe = probe_tokens(base)
    config = _config(base, trained, also_train)
    conv1d = config.fan_in_fan_out
    left = dict(trained.values)
    if _tied_head_trained(trained, also_train):
        left[f"{head_name(base)}.weight"] = left[_embedding_name(base)]
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the head, which is no Conv1D, and of weights that are tied
        model = get_peft_model(base, config)
    config.fan_in_fan_out = conv1d  # which PEFT changes where it meets the other kind of layer
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and (value := left.pop(_our_name(name), None)) is not None:
                parameter.copy_(value)
    if left:
        raise ExportError(f"PEFT has no place for {len(left)} weights that were trained (first: {next(iter(left))})")
    refuse_other_logits(logits_on(model, probe), trained.logits)
    return model


def refuse_other_logits(logits: Tensor, wanted: Tensor) -> None:
    """Refuse logits (T, V) that are not those of the trained model.

    Raises:
        ExportError: by how much they differ.
    """
    difference = float((logits - wanted).abs().max() / wanted.abs().max().clamp_min(1e-6))
    if not difference <= MOST_DIFFERENCE:
        raise ExportError(f"logits would differ from the trained model's by {100 * difference:.3g} %")


def _config(base: PreTrainedModel, trained: Trained, also_train: Collection[TrainedGroup]) -> LoraConfig:
    projections = [name for name, module in base.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    embeddings = dict.fromkeys(embeddings_of(base))
    names = {name: module for name, module in base.named_modules() if name}
    whole = [name for name, module in names.items() if module in embeddings and "embeddings" in also_train]
    if ("head" in also_train and not trained.tied) or _tied_head_trained(trained, also_train):
        whole.append(head_name(base))
    if "layernorms" in also_train:
        has_own = {name for name, module in names.items() if any(True for _ in module.parameters(recurse=False))}
        whole += [
            name for name in names if name in has_own and name not in projections and names[name] not in embeddings
        ]
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=trained.rank,
        lora_alpha=trained.alpha,
        use_rslora=trained.scaling == "alpha/sqrt(r)",
        lora_dropout=0.0,
        target_modules=shortest_names(trained.targets, projections),
        fan_in_fan_out=any(isinstance(names[target], Conv1D) for target in trained.targets),
        modules_to_save=shortest_names(whole, list(names)) or None,
        bias="all" if "biases" in also_train else "none",
        inference_mode=False,
    )


def _tied_head_trained(trained: Trained, also_train: Collection[TrainedGroup]) -> bool:
    """Whether the head has trained as the embedding. PEFT would leave it as the base has it, so it goes along twice.

    (`ensure_weight_tying` of PEFT does not know GPT-2's name of the embedding.)
    """
    return trained.tied and "embeddings" in also_train


def _embedding_name(model: PreTrainedModel) -> str:
    weight = model.get_input_embeddings().weight
    return next(str(name) for name, parameter in model.named_parameters() if parameter is weight)


def shortest_names(wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    """The shortest endings of dotted names that fit the wanted ones, and none else of `names`.

    PEFT takes a name for a module that it is, or whose name ends with a dot and it
    (`check_target_module_exists` of tuners/tuners_utils.py, peft 0.21.2).
    """
    unwanted = [name for name in names if name not in wanted]
    chosen: dict[str, None] = {}
    for name in wanted:
        parts = name.split(".")
        endings = [".".join(parts[start:]) for start in reversed(range(len(parts)))]
        fits = (ending for ending in endings if not any(f".{other}".endswith(f".{ending}") for other in unwanted))
        chosen[next(fits, name)] = None
    return list(chosen)


def _our_name(name: str) -> str:
    """What the model calls a parameter that PEFT's model calls otherwise."""
    for part in ("base_model.model.", f".modules_to_save.{ADAPTER}", f".{ADAPTER}", ".base_layer"):
        name = name.replace(part, "", 1)
    return name.removesuffix(".weight") if name.endswith((".lora_A.weight", ".lora_B.weight")) else name
