"""The model of a trial: as it begins, as it trains, and as it is judged."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from basis.methods import METHODS
from model.decoder import place_dropout
from model.gpt2_lora import add_adapters, assign_trained, load_base, select_trainable, trained_parameters, untie_head
from model.lora_linear import LoRASettings
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from model.precision import AUTOCAST
from model.sft import KernelsFor, SFTRun, SFTSettings, training_kernels
from sweep.trial.config import TrialConfig
from sweep.trial.options import Options


@dataclass(frozen=True)
class Execution:
    """How a trial's steps are executed. Its memory depends on this, its results do not.

    Attributes:
        micro_batch: most windows per forward pass.
        activation_checkpointing: whether blocks are computed again in the backward pass.
    """

    micro_batch: int
    activation_checkpointing: bool


MOST_WINDOWS_PER_PASS, MOST_TOKENS_PER_PASS = 256, 2**16
"""More at once train no faster, on a GPU either; and to predict their memory would take minutes."""


def as_configured(config: TrialConfig) -> Execution:
    """The execution that a config asks for, where memory is no concern."""
    most = max(1, min(MOST_WINDOWS_PER_PASS, MOST_TOKENS_PER_PASS // config.block_size))
    return Execution(min(config.micro_batch or config.batch_size, most), config.activation_checkpointing)


def build_model(config: TrialConfig, base_model: str) -> PreTrainedModel:
    """The model of a trial as it is before its first step: base weights, fresh adapters, and what trains chosen."""
    return adapt(load_base(base_model), config)


def adapt(base: PreTrainedModel, config: TrialConfig) -> PreTrainedModel:
    """Make a base model the trial's, in place. On the meta device nothing is drawn."""
    if not config.tie_head and base.config.tie_word_embeddings:
        untie_head(base)
    place_dropout(base, config.dropout)
    if METHODS[config.method].peft is not None:
        _add_peft_adapters(base, config)
    elif config.rank is not None and config.alpha is not None and config.targets is not None:
        lora = LoRASettings(config.rank, config.alpha, config.targets, config.scaling or "alpha/r")
        add_adapters(base, lora, torch.Generator().manual_seed(config.seed))
    select_trainable(base, config.method, config.also_train or ())
    return base


def _add_peft_adapters(base: PreTrainedModel, config: TrialConfig) -> None:
    # PEFT imports bitsandbytes and torch's compiler with it: seconds for each worker, where most trials have no need
    from model.peft_adapters import PeftSettings, add_peft_adapters

    settings = PeftSettings(
        config.method,
        config.targets or (),
        config.rank,
        config.alpha,
        config.scaling,
        config.peft.plain() if config.peft else {},
        config.seed,
        quantised_compute_dtype(config),
    )
    add_peft_adapters(base, settings)


def quantised_compute_dtype(config: TrialConfig) -> torch.dtype:
    """In which products with quantised weights are computed, in a trial and wherever its adapter is used."""
    return AUTOCAST.get(config.settled_precision, torch.float32) if config.precision != "auto" else torch.float32


def build_run(
    model: PreTrainedModel,
    config: TrialConfig,
    execution: Execution,
    device: torch.device,
    kernels: KernelsFor = training_kernels,
) -> SFTRun:
    """The SFT run of a trial over its model, which is moved to the device; `kernels` chooses how its steps compute."""
    optimizer = OptimizerSettings(
        config.optimizer,
        config.lr,
        config.weight_decay,
        config.momentum or 0.0,
        config.betas or (0.0, 0.0),
        config.b_lr_ratio or 1.0,
        (config.optimizer_options or Options({})).plain(),
    )
    settings = SFTSettings(
        steps=config.steps,
        lr=config.lr,
        micro_batch=execution.micro_batch,
        schedule=config.schedule,
        warmup_steps=config.warmup_steps,
        clip_norm=config.clip_norm,
        precision=config.settled_precision,
        compile=config.compile,
        activation_checkpointing=execution.activation_checkpointing,
        seed=config.seed,
    )
    return SFTRun(model, build_optimizers(model, optimizer), settings, device, kernels(settings, device))


def in_fp32(model: PreTrainedModel, config: TrialConfig, base_model: str) -> PreTrainedModel:
    """The trained `model` as it is judged: in fp32 like the base model, whose frozen weights bf16 training rounds."""
    if all(p.dtype == torch.float32 for p in model.parameters()):
        return model
    judged = build_model(config.model_copy(update={"precision": "fp32"}), base_model).to(model.device)
    assign_trained(judged, dict(trained_parameters(model)))
    return judged
