"""The part `model` of a spec: which weights trials start from, of one base model or of several."""

import os
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    model_validator,
)

from basis.errors import problem
from sweep.schema.hub_names import model_name
from sweep.schema.places import MADE_HERE, beside_of, checked, model_place
from sweep.schema.seeds import Seed
from sweep.trial.config import ModelLabel
from sweep.trial.part import AcceptedWords, Count, Part

GPT2_NAMES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
"""Models whose shape is known without the hub."""


def _existing_folder(name: str, info: ValidationInfo) -> str:
    if name in MADE_HERE:
        return name
    return model_place(name, beside_of(name, info), ambiguous=info.context is not None)


ModelFolder = Annotated[str, checked(_existing_folder)]
"""A model, tokenizer or reward model: a folder, which becomes absolute, a name on the hub, 'demo' or 'demo-chat'."""


def with_revision(values: Any, key: str) -> Any:
    """Move `revision` beside a name on the hub, where Hugging Face writes it, into the name.

    Args:
        values: a part of a spec, before validation.
        key: the part's key that holds the name.

    Raises:
        PydanticCustomError: `revision` stands beside anything else, or is none.
    """
    if not isinstance(values, dict) or values.get("revision") is None:
        return values
    rest = {name: value for name, value in values.items() if name != "revision"}
    name, revision = rest.get(key), values["revision"]
    on_hub = model_name(name) if isinstance(name, str) and name not in MADE_HERE else None
    if on_hub is None or on_hub.revision:
        raise problem("revision", f"{revision!r} is accepted beside a name on the hub that has none, not {name!r}")
    pinned = str(on_hub.at(str(revision)))
    if model_name(pinned) is None:
        raise problem("revision", f"{revision!r} is not accepted; accepted: a branch, a tag or a commit")
    return {**rest, key: pinned}


class Shape(Part):
    """Dimensions that replace those of the named model under `init: random`.

    The keys below are GPT-2's. Another architecture has those of its own configuration class in transformers, such as
    `hidden_size` of Llama; they are checked where that class is known.
    """

    model_config = ConfigDict(extra="allow")

    # These bounds lie far above any GPT's; what lies above them overflows.
    n_layer: Count | None = Field(None, le=1000, description="Number of blocks; null: as the named model has.")
    n_embd: Count | None = Field(None, le=2**17, description="Width of the residual stream; null: the named model's.")
    n_head: Count | None = Field(
        None, le=2**12, description="Attention heads per block, which divide `n_embd`; null: as the named model has."
    )
    n_positions: Count | None = Field(
        None, le=2**22, description="Longest sequence that the model reads, in tokens; null: 1024."
    )
    vocab_size: Count | None = Field(
        None,
        le=2**24,
        description="Rows of the embedding, at least as many as the tokenizer has tokens; null: as many for an "
        "architecture, else as the named model has.",
    )


class ModelPart(Part):
    """Which weights trials start from. `model` may also be a list of such: each trial then starts from one of them."""

    @property
    def is_architecture(self) -> bool:
        """Whether the name, under `init: random`, is that of an architecture, such as llama, and not of a model."""
        on_hub = model_name(self.name)
        return on_hub is not None and "/" not in self.name and self.name not in (*GPT2_NAMES, *MADE_HERE)

    name: Annotated[
        ModelFolder, AcceptedWords("a hub name, perhaps with @revision, a folder, 'demo' or 'demo-chat'")
    ] = Field(
        "gpt2-medium",
        description="The base model: any dense decoder-only language model of transformers. `revision` beside it may "
        "name a branch, a tag or a commit. Under `init: random` also an architecture, such as llama, with a tokenizer.",
    )
    init: Literal["pretrained", "random"] = Field(
        "pretrained", description="pretrained loads the model's weights; random draws them anew."
    )
    shape: Shape = Field(
        Shape(),
        description="Dimensions that replace those of the named model under `init: random`. The keys below are "
        "GPT-2's; other architectures have those of their configuration in transformers, such as hidden_size.",
    )
    label: ModelLabel | None = Field(
        None,
        description="What tables, and `model` in a branch, call it among several; null: the last part of its name.",
    )
    seed: Seed = Field(0, description="Seed of the base weights under `init: random`, the same for every trial.")
    tokenizer: Annotated[ModelFolder | None, AcceptedWords("a folder or a hub name")] = Field(
        None, description="The tokenizer of prompts and data; null: the base model's."
    )

    @model_validator(mode="before")
    @classmethod
    def _revision_beside_the_name(cls, values: Any) -> Any:
        return with_revision(values, "name")

    @model_validator(mode="after")
    def _shape_only_at_random(self) -> "ModelPart":
        if self.init == "random" and self.name in MADE_HERE:
            accepted = "init 'random' accepts a model or an architecture"
            raise problem("name", f"{self.name!r} has weights of its own; {accepted}")
        if self.init == "random" and self.is_architecture and self.tokenizer is None:
            raise problem("tokenizer", f"missing; {self.name!r} under init 'random' is an architecture without one")
        unknown = next(iter(self.shape.model_extra or {}), None)
        if unknown and self.name in GPT2_NAMES:
            accepted = ", ".join(Shape.model_fields)
            raise problem(f"shape.{unknown}", f"unknown key of GPT-2's shape; accepted: {accepted}")
        if self.init == "pretrained" and self.shape.model_dump(exclude_none=True):
            raise problem("shape", "accepted under init 'random' only; pretrained weights have a shape already")
        return self

    @property
    def called(self) -> str:
        """What it is called among several base models."""
        if self.label is not None:
            return self.label
        on_hub = None if self.name in MADE_HERE else model_name(self.name)
        last = (on_hub.name if on_hub else self.name).rstrip("/").rpartition("/")[2]
        return re.sub(r"[^\w.+-]+", "-", last).lstrip(".+-")[:60] or "model"

    def is_named(self, word: str) -> bool:
        """Whether `word` is its name: the folder's path, or the name on the hub with its revision or without."""
        on_hub = None if self.name in MADE_HERE else model_name(self.name)
        same_folder = os.path.realpath(os.path.expanduser(word)) == self.name
        return same_folder or word in (self.name, *([on_hub.name] if on_hub else []))


ONE_TAG, SEVERAL_TAG = "<one>", "<several>"
"""Steps in the location of a validation error: whether `model` is one base model or a list."""


def _as_part(value: Any) -> Any:
    """A base model, where its name alone is given."""
    return {"name": value} if isinstance(value, str) else value


def _as_models(value: Any) -> Any:
    return [_as_part(entry) for entry in value] if isinstance(value, list) else _as_part(value)


def _told_apart(models: tuple[ModelPart, ...]) -> tuple[ModelPart, ...]:
    """Several base models, each with its label written down: a commit may take the place of the name it comes from."""
    labelled = tuple(model.model_copy(update={"label": model.called}) for model in models)
    for place, model in enumerate(labelled):
        if model.label in {earlier.label for earlier in labelled[:place]}:
            raise problem("label", f"{model.label!r} stands for two of the models; accepted: a label for each")
    return labelled


Models = Annotated[
    Annotated[ModelPart, Tag(ONE_TAG)]
    | Annotated[tuple[ModelPart, ...], Field(min_length=1), AfterValidator(_told_apart), Tag(SEVERAL_TAG)],
    Discriminator(lambda value: SEVERAL_TAG if isinstance(value, Sequence) else ONE_TAG),
    BeforeValidator(_as_models),
    AcceptedWords("{name: ..., init: ..., ...}, a name alone, or a list of such"),
]
"""One base model, or several, which are then a factor of the sweep."""


def label_of(models: Sequence[ModelPart], word: Any) -> Any:
    """The label of the one among several base models that a word is the label or the name of.

    Args:
        models: all of them.
        word: what a branch, or a table's `where`, says of its model; returned as it is where it means none or several.
    """
    labels = [model.called for model in models]
    named = [model.called for model in models if model.is_named(str(word))]
    return named[0] if word not in labels and len(named) == 1 else word


def labels_in(models: Sequence[ModelPart], said: Any) -> Any:
    """The same of a word, or of each word of a list."""
    return [label_of(models, word) for word in said] if isinstance(said, list) else label_of(models, said)
