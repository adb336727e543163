"""The base model's shape, from which memory is predicted, without its weights."""

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from transformers import AutoConfig, PretrainedConfig

from basis.errors import UserError, first_line, said_by_transformers
from model.architectures import ArchitectureError, refuse_targets, refuse_unknown
from model.decoder import refuse_other_attention
from model.gpt2_lora import SHAPES, gpt2_config
from model.model_sizes import skeleton
from model.weight_files import WeightsError, check_folder
from sweep.data.tokenizer import load_tokenizer
from sweep.demo.base_model import base_model_config
from sweep.demo.chat.base_model import chat_model_config
from sweep.demo.chat.sizes import ChatSizes
from sweep.demo.chat.tokenizer import MARKS
from sweep.demo.sizes import DemoSizes
from sweep.hub.fetch import fetch_config, fetch_tokenizer
from sweep.schema.hub_names import model_name
from sweep.schema.model import ModelPart
from sweep.schema.places import DEMO, DEMO_CHAT, MADE_HERE
from sweep.trial.config import TrialConfig
from sweep.trial.outline import refuse_adapters


def planned_shapes(
    models: Mapping[str | None, ModelPart], candidates: Sequence[TrialConfig]
) -> dict[str | None, PretrainedConfig]:
    """The shapes of the base models that some trial is of, by what trials say of theirs; see `SweepSpec.models`.

    Raises:
        UserError: as `planned_shape`, or a trial that no model of that shape can be trained by.
    """
    shapes = {}
    for label in dict.fromkeys(trial.model for trial in candidates):
        shapes[label] = planned_shape(models[label])
        check_trials_fit(shapes[label], [trial for trial in candidates if trial.model == label], models[label].name)
    return shapes


def planned_shape(model: ModelPart) -> PretrainedConfig:
    """The shape of a spec's base model; published names need no hub.

    Raises:
        UserError: a folder or a name on the hub that has no configuration, one of an architecture that is not accepted,
            or an impossible shape.
    """
    if model.name == DEMO:
        sizes = DemoSizes()
        return base_model_config(sizes.base, sizes.vocabulary, end=0)
    if model.name == DEMO_CHAT:
        chat = ChatSizes()
        return chat_model_config(chat.base, chat.demo.vocabulary + len(MARKS), bos=0, eos=0, pad=0)
    on_hub = model_name(model.name)
    published = on_hub.name.removeprefix("openai-community/") if on_hub else model.name
    if published in SHAPES:
        shape = gpt2_config(published, model.shape.model_dump(exclude_none=True))
        if shape.n_embd % shape.n_head:
            raise UserError(f"model.shape: n_embd {shape.n_embd} is not a multiple of n_head {shape.n_head}")
        return shape
    if model.init == "random" and model.is_architecture:
        vocabulary = {} if model.shape.vocab_size else _vocabulary(str(model.tokenizer))
        return _reshaped(_architecture(model.name), model, vocabulary)
    if on_hub:
        named = read_shape(str(fetch_config(on_hub, "model.name").folder), "model.name", model.name)
    else:
        if model.init == "pretrained" and os.path.isdir(model.name):
            refuse_broken(model.name, f"model.name: {model.name!r}", check_folder)
        named = read_shape(model.name, "model.name", model.name)
    return _reshaped(named, model) if model.init == "random" else named


def _architecture(name: str) -> PretrainedConfig:
    """The configuration that transformers has for an architecture."""
    try:
        config = AutoConfig.for_model(name)
        refuse_unknown(config)
    except ArchitectureError as error:
        raise UserError(f"model.name: {name!r} is refused: {error}") from None
    except ValueError:
        raise UserError(
            f"model.name: {name!r} is no architecture of transformers; init 'random' accepts {', '.join(SHAPES)}, an "
            "architecture such as llama, or a model's folder or name on the hub"
        ) from None
    return config


def _vocabulary(name: str) -> dict[str, int | None]:
    """The fields of a configuration that say which tokens a tokenizer has. A pad token is left out: nothing is padded.

    Raises:
        UserError: the tokenizer can't be had or loaded.
    """
    if name in MADE_HERE:  # which is made later, with its model
        shape = planned_shape(ModelPart(name=name))
        return {"vocab_size": shape.vocab_size, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
    on_hub = model_name(name)
    tokenizer = load_tokenizer(fetch_tokenizer(on_hub, "model.tokenizer").folder if on_hub else name, name)
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None}
    return {"vocab_size": len(tokenizer), **special}


def _reshaped(
    config: PretrainedConfig, model: ModelPart, vocabulary: Mapping[str, int | None] | None = None
) -> PretrainedConfig:
    """A configuration with the fields of the spec's shape, and with those of a tokenizer where they are given.

    Raises:
        UserError: a field that its class does not have, or values that make no model.
    """
    fields = model.shape.model_dump(exclude_none=True)
    values = config.to_dict()
    for name in fields:
        if name not in values and name not in config.attribute_map:
            near = difflib.get_close_matches(name, values, 1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            raise UserError(f"model.shape.{name}: no field of a {type(config).__name__}{meant}")
    if "num_hidden_layers" in fields:
        values.pop("layer_types", None)  # as many as there were layers
    try:
        shape = type(config)(**{**values, **(vocabulary or {}), **fields})
        skeleton(shape)
        refuse_other_attention(shape)
    except ArchitectureError as error:
        raise UserError(f"model.name: {model.name!r} is refused: {error}") from None
    except Exception as error:  # whatever a class makes of values that don't go together
        raise UserError(f"model.shape: makes no {type(config).__name__} of a model: {first_line(error)}") from None
    return shape


def refuse_broken(folder: str, what: str, check: Callable[[Path], object]) -> None:
    """Refuse a folder that holds no whole model or tokenizer, before anything in it is opened.

    Args:
        folder: an existing one.
        what: what the message calls it.
        check: raises a WeightsError where something is missing or broken.

    Raises:
        UserError: what is.
    """
    try:
        check(Path(folder))
    except WeightsError as error:
        raise UserError(f"{what}: {error}") from None


def read_shape(folder: str, key: str, name: str | None = None) -> PretrainedConfig:
    """The configuration of a language model in a folder, which the spec calls `name` at `key`.

    Raises:
        UserError: see `planned_shape`.
    """
    config = read_config(folder, key, name)
    try:
        refuse_unknown(config)
        if config.model_type != "gpt2":
            refuse_other_attention(config)
    except ArchitectureError as error:
        raise UserError(f"{key}: {name or folder!r} is refused: {error}") from None
    return config


def read_config(folder: str, key: str, name: str | None = None) -> PretrainedConfig:
    """The configuration of a model in a folder, which the spec calls `name` at `key`.

    Raises:
        UserError: there is none.
    """
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{key}: {name or folder!r} can't be read as a model: {said_by_transformers(error)}") from None


def check_trials_fit(shape: PretrainedConfig, candidates: Sequence[TrialConfig], name: str) -> None:
    """Refuse trials that no model of that shape can be trained by.

    Raises:
        UserError: naming the first field that does not fit.
    """
    for candidate in candidates:
        positions = shape.max_position_embeddings
        if candidate.block_size > positions:
            raise UserError(f"block_size: {candidate.block_size} is more than the {positions} positions of {name!r}")
    if not shape.tie_word_embeddings and {candidate.tie_head for candidate in candidates} == {True, False}:
        raise UserError(f"tie_head: {name!r} has a head of its own, whatever it says; accepted: one value")
    try:
        for targets in {candidate.targets for candidate in candidates if candidate.targets}:
            refuse_targets(skeleton(shape), targets)
    except ArchitectureError as error:
        raise UserError(f"targets: {error}") from None
    refuse_adapters(shape, candidates, name)
