"""A chosen trial's model as files that other programs load: PEFT's adapter, or whole weights of transformers."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from basis.errors import UserError
from model.gpt2_lora import merge
from model.peft_export import (
    ExportError,
    as_peft,
    learnt_by,
    logits_on,
    probe_tokens,
    refuse_other_logits,
)
from model.weights import quiet_transformers
from sweep.data.template import choose_template
from sweep.hub.pin import hub_model
from sweep.preparation.disk_room import refuse_without_room
from sweep.preparation.models import FoundModels
from sweep.reward_metric import end_tokens
from sweep.winner.choose import Winner
from sweep.winner.model import trained_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Form = Literal["adapter", "merged"]
"""What an export is: PEFT's adapter beside base weights that stay where they are, or the whole model."""


def write_model(winner: Winner, base: FoundModels, form: Form, folder: Path, say: Callable[[str], None]) -> None:
    """Write weights, configuration, tokenizer with its chat template, and generation config into a folder.

    Weights are in fp32, as they were trained: those of 16 bits would give other logits than the trial had.

    Args:
        winner: the trial.
        base: its base model.
        form: what is written.
        folder: an empty one.
        say: told what happens.

    Raises:
        UserError: the model has no such form.
        DiskError: the disk is full, read-only or failing.
    """
    model = trained_model(winner, base)
    sizes = [p.numel() for p in model.parameters() if p.requires_grad or form == "merged"]
    refuse_without_room(f"the export of {winner.arm.label}", folder, 4 * sum(sizes))
    tokenizer = _tokenizer(winner, base)
    generation = _generation_config(model, tokenizer, winner)
    try:
        if form == "adapter":
            _write_adapter(model, winner, base, folder)
        else:
            _write_merged(model, folder)
    except ExportError as error:
        other = "merged, with --merged, it can" if form == "adapter" else "this is a fault of ours"
        raise UserError(f"{winner.arm.label}: can't be exported: {error}; {other}") from None
    say("logits are those of the trained model")
    tokenizer.save_pretrained(folder)
    generation.save_pretrained(folder)


def _write_adapter(model: PreTrainedModel, winner: Winner, base: FoundModels, folder: Path) -> None:
    config = winner.trial.config
    assert config.alpha is not None, "a method with an adapter has an alpha"
    learnt = learnt_by(model, config.alpha, config.scaling or "alpha/r")
    adapter = as_peft(base.base_model, learnt, config.also_train or ())
    settings = adapter.peft_config["default"]
    settings.base_model_name_or_path, settings.revision = base_name(winner)
    settings.inference_mode = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that are tied, which `as_peft` has seen to
        adapter.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty form; ours follows


def _write_merged(model: PreTrainedModel, folder: Path) -> None:
    tokens = probe_tokens(model)
    wanted = logits_on(model, tokens)
    merge(model)
    refuse_other_logits(logits_on(model, tokens), wanted)
    model.config.dtype = torch.float32
    model.config.name_or_path = ""  # of a folder of this machine
    with quiet_transformers():
        model.save_pretrained(folder)
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    refuse_other_logits(logits_on(loaded, tokens), wanted)


def base_name(winner: Winner) -> tuple[str, str | None]:
    """What the base model is called where others look for it, and its commit.

    A folder is called by its last part: where it lies on this machine says nothing to others.
    """
    name = winner.spec.models[winner.trial.config.model].name
    if on_hub := hub_model(name):
        return on_hub.name, on_hub.revision
    return Path(name).name, None


def _tokenizer(winner: Winner, base: FoundModels) -> "PreTrainedTokenizerBase":
    """The tokenizer, with the template that the data went through where that is not its own."""
    tokenizer = base.loaded_tokenizer
    template = choose_template(tokenizer, winner.spec.data.template).jinja
    if template is not None and is_chat(winner):
        tokenizer.chat_template = template
    tokenizer.init_kwargs.pop("name_or_path", None)
    return tokenizer


def is_chat(winner: Winner) -> bool:
    """Whether the sweep's examples were pairs or conversations, which go through a template, and no plain texts."""
    data = winner.results.sweep.get("data")
    return isinstance(data, dict) and bool(data.get("turns"))


def _generation_config(
    model: PreTrainedModel, tokenizer: "PreTrainedTokenizerBase", winner: Winner
) -> GenerationConfig:
    """The base model's, ending where the sweep's own responses end."""
    ends = end_tokens(model, tokenizer)
    if is_chat(winner) and (turn_end := choose_template(tokenizer, winner.spec.data.template).turn_end):
        ends |= {int(tokenizer.convert_tokens_to_ids(turn_end))}
    settings = GenerationConfig.from_dict({**model.generation_config.to_diff_dict(), "_from_model_config": False})
    settings.eos_token_id = sorted(ends)
    settings.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return settings
