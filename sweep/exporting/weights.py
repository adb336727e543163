"""A chosen trial's model as files that other programs load: PEFT's adapter, or whole weights of transformers."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel

from analysis.wording.phrases import join
from basis.errors import UserError
from basis.methods import METHODS
from model.gpt2_lora import load_base, merge
from model.peft_adapters import MUTATING, merge_peft, peft_files, quiet_peft
from model.peft_export import (
    ExportError,
    as_peft,
    learnt_by,
    logits_on,
    probe_tokens,
    refuse_other_logits,
)
from model.quantized import as_quantised
from model.weights import quiet_transformers
from sweep.data.template import choose_template
from sweep.hub.pin import hub_model
from sweep.preparation.disk_room import refuse_without_room
from sweep.preparation.models import FoundModels
from sweep.reward_metric import end_tokens
from sweep.trial.model import build_model, quantised_compute_dtype
from sweep.winner.choose import Winner
from sweep.winner.model import trained_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUANTISED = "qlora"
"""The method whose adapter was trained beside weights of four bits."""

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
    place = folder.parents[1]  # the user's; between them is the one that is removed where something goes wrong
    refuse_without_room(f"the export of {winner.arm.label}", place, 4 * sum(sizes), "name a folder on another disk")
    tokenizer = _tokenizer(winner, base)
    generation = _generation_config(model, tokenizer, winner)
    try:
        if form == "merged":
            _write_merged(model, merge if METHODS[winner.trial.config.method].peft is None else merge_peft, folder)
        elif METHODS[winner.trial.config.method].peft is None:
            _write_lora(model, winner, base, folder)
        else:
            _write_peft_adapter(model, winner, base, folder)
    except ExportError as error:
        other = "this is a fault of ours"
        if form == "adapter":
            other = (
                "merged, with --merged, it can"
                if METHODS[winner.trial.config.method].merges
                else "it can't be merged either"
            )
        raise UserError(f"{winner.arm.label}: can't be exported: {error}; {other}") from None
    say("logits are those of the trained model")
    tokenizer.save_pretrained(folder)
    generation.save_pretrained(folder)


def _write_lora(model: PreTrainedModel, winner: Winner, base: FoundModels, folder: Path) -> None:
    config = winner.trial.config
    assert config.alpha is not None, "a method with an adapter has an alpha"
    learnt = learnt_by(model, config.alpha, config.scaling or "alpha/r")
    model.to("meta")  # frees its weights, whoever holds it: memory has one model at a time
    adapter = as_peft(base.base_model, learnt, config.also_train or ())
    settings = adapter.peft_config["default"]
    settings.base_model_name_or_path, settings.revision = base_name(winner)
    settings.inference_mode = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that are tied, which `as_peft` has seen to
        adapter.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty form; ours follows


def _write_peft_adapter(model: PreTrainedModel, winner: Winner, base: FoundModels, folder: Path) -> None:
    """Adapters that are PEFT's own already. What `also_train` has trained beside them has no place in its files."""
    config = winner.trial.config
    if config.also_train:
        raise ExportError(
            f"PEFT's files of {config.method} have no place for also_train ({join([*config.also_train])})"
        )
    tokens = probe_tokens(model)
    wanted = logits_on(model, tokens)
    fresh = build_model(config, base.base_model) if config.method in MUTATING else None
    values, tensors = peft_files(model, fresh)
    del fresh
    name, revision = base_name(winner)
    values |= {"base_model_name_or_path": name, "revision": revision, "task_type": "CAUSAL_LM"}
    (folder / "adapter_config.json").write_text(json.dumps(values, indent=2, sort_keys=True), encoding="utf-8")
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    if config.method == QUANTISED:
        with quiet_transformers():
            plain = AutoModelForCausalLM.from_pretrained(
                base.base_model,
                dtype=torch.float32,
                quantization_config=as_quantised(quantised_compute_dtype(config)),
                trust_remote_code=False,
            )
    else:
        model.to("meta")  # frees its weights, whoever holds it
        plain = load_base(base.base_model)
    with quiet_peft():
        loaded = PeftModel.from_pretrained(plain, folder)
    refuse_other_logits(logits_on(loaded, tokens), wanted)


def _write_merged(model: PreTrainedModel, merged: Callable[[PreTrainedModel], PreTrainedModel], folder: Path) -> None:
    tokens = probe_tokens(model)
    wanted = logits_on(model, tokens)
    merged(model)
    refuse_other_logits(logits_on(model, tokens), wanted)
    model.config.dtype = torch.float32
    model.config.name_or_path = ""  # of a folder of this machine
    with quiet_transformers():
        model.save_pretrained(folder)
        model.to("meta")  # likewise
        loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
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
