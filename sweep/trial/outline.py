"""The model of a trial without the values of its weights: what shapes it has, and whether there can be one."""

from collections.abc import Iterable

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from basis.errors import UserError
from basis.fields import ADAPTER_FIELDS
from basis.methods import METHODS
from model.architectures import ArchitectureError, shallow
from model.gpt2_lora import trained_parameters
from model.predict_memory import place_on_cpu
from model.quantized import MissingPackageError
from sweep.trial.config import TrialConfig
from sweep.trial.model import adapt


def outline(trial: TrialConfig, shape: PretrainedConfig) -> PreTrainedModel:
    """A trial's model on a base model of that shape, on the meta device.

    Methods whose shapes PEFT asks the weights for get tensors whose values mean nothing.

    Raises:
        ArchitectureError: there is no such model.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape, dtype=torch.float32)
    if METHODS[trial.method].sized:
        with torch.device("meta"):
            return adapt(model, trial)
    place_on_cpu(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return adapt(model, trial)


def trained_bytes(trial: TrialConfig, shape: PretrainedConfig) -> int:
    """The bytes of what a trial trains on a base model of that shape."""
    if METHODS[trial.method].sized:
        return _trained_bytes(outline(trial, shape))
    one, two = (_trained_bytes(outline(trial, shallow(shape, depth))) for depth in (1, 2))
    blocks: int = shape.num_hidden_layers
    return one + (blocks - 1) * (two - one)  # each block adds the same


def _trained_bytes(model: PreTrainedModel) -> int:
    return sum(parameter.nbytes for _, parameter in trained_parameters(model))


def refuse_adapters(shape: PretrainedConfig, trials: Iterable[TrialConfig], name: str) -> None:
    """Refuse adapters of PEFT's that a model of that shape can't have, such as blocks that don't divide its width.

    Raises:
        UserError: with the method, the model's name and what PEFT says.
    """
    fields = ("method", *ADAPTER_FIELDS)
    alike = {tuple(getattr(trial, field) for field in fields): trial for trial in trials}
    for trial in alike.values():
        if METHODS[trial.method].peft:
            try:
                outline(trial, shallow(shape, 1))
            except (ArchitectureError, MissingPackageError) as error:
                raise UserError(f"method: {trial.method!r} on {name!r}: {error}") from None
