"""The part `data` of a spec: the SFT set."""

import os
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from basis.errors import problem
from sweep.schema.chat_template import ChatTemplateText
from sweep.schema.places import DEMO, beside_of, checked, expand
from sweep.schema.sources import LOCAL_FILES, source_files
from sweep.trial.part import AcceptedWords, Part

STUDY_DATA = {"train": "Anthropic/hh-rlhf:train", "test": "Anthropic/hh-rlhf:test", "exclude": "Dahoas/rm-static"}
"""The published study's set."""

_SOURCES = f"{LOCAL_FILES}, or a hub dataset 'owner/name:split'"


def _existing_files(source: str, info: ValidationInfo) -> str:
    files = source_files(source, beside_of(source, info))
    return source if files is None else os.path.abspath(expand(source))


def _existing_data(source: str, info: ValidationInfo) -> str:
    return source if source == DEMO else _existing_files(source, info)


DataSource = Annotated[str, checked(_existing_data), AcceptedWords(_SOURCES)]
ExcludeSource = Annotated[str, checked(_existing_files), AcceptedWords(_SOURCES)]


class DataPart(Part):
    """The SFT set: `train` and `test` dialogues minus those of `exclude`. Without any of the three, the study's."""

    train: tuple[DataSource, ...] = Field(
        min_length=1, description="Where the train dialogues are: files, data sets on the hub, or 'demo'."
    )
    test: tuple[DataSource, ...] = Field(
        (), description="Where the test dialogues are. Empty: `test_fraction` of train is held out."
    )
    exclude: tuple[ExcludeSource, ...] = Field((), description="Dialogues that are taken out of train and test.")
    field: Annotated[str, AcceptedWords("the name of a record's field")] = Field(
        "chosen", description="The field of a record that holds the dialogue, or the answer to the record's `prompt`."
    )
    template: ChatTemplateText | None = Field(
        None,
        description="How messages become text: a jinja template, a file with one, or 'turns' (Human: and Assistant: in "
        "plain text). null: the tokenizer's chat template, or 'turns' where it has none.",
    )
    test_fraction: float = Field(
        0.05, gt=0, lt=1, description="Share of the train dialogues that are held out when `test` is empty."
    )
    validation_fraction: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Share of the train dialogues that a search holds out as its validation set.",
    )

    @model_validator(mode="before")
    @classmethod
    def _the_studys_or_ones_own(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        named = values.keys() & STUDY_DATA.keys()
        given = {key: value for key, value in values.items() if key not in ("test", "exclude") or value is not None}
        if named and "train" not in named:
            raise problem("train", f"missing; data.{min(named)} is given, and what trains beside it is not")
        return given if named else {**STUDY_DATA, **given}

    @field_validator("train", "test", "exclude", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value
