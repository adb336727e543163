"""The part `data` of a spec: the SFT set."""

import os
from typing import Annotated, Any, get_args

from pydantic import Field, ValidationInfo, field_validator, model_validator

from basis.errors import problem, shown
from sweep.schema.chat_template import ChatTemplateText
from sweep.schema.data_folders import LOCAL_FILES, Role
from sweep.schema.places import MADE_HERE, beside_of, checked, expand
from sweep.schema.sources import ON_HUB, source_files
from sweep.trial.part import AcceptedWords, Part

STUDY_DATA = {"train": "Anthropic/hh-rlhf:train", "test": "Anthropic/hh-rlhf:test", "exclude": "Dahoas/rm-static"}
"""The published study's set."""

COLUMNS = (
    *("messages", "conversations", "tools", "system", "chosen", "instruction", "input", "output"),
    *("prompt", "completion", "question", "answer", "text"),
)
"""The fields by which the form of a record is recognised, and those that may stand beside them."""

_BESIDE_TRAIN = ("test", "exclude", "general")
"""Sources that may be left out, or null."""

_SOURCES = f"{LOCAL_FILES}, or {ON_HUB}"


def _role(info: ValidationInfo) -> Role:
    return next(role for role in get_args(Role) if role == info.field_name)


def _existing_files(source: str, info: ValidationInfo) -> str:
    files = source_files(source, _role(info), beside_of(source, info))
    return source if files is None else os.path.abspath(expand(source))


def _existing_data(source: str, info: ValidationInfo) -> str:
    return source if source in MADE_HERE else _existing_files(source, info)


DataSource = Annotated[str, checked(_existing_data), AcceptedWords(_SOURCES)]
ExcludeSource = Annotated[str, checked(_existing_files), AcceptedWords(_SOURCES)]


class DataPart(Part):
    """The SFT set: `train` and `test` dialogues minus those of `exclude`. Without any of the three, the study's."""

    train: tuple[DataSource, ...] = Field(
        min_length=1, description="Where the train dialogues are: files, data sets on the hub, 'demo' or 'demo-chat'."
    )
    test: tuple[DataSource, ...] = Field(
        (), description="Where the test dialogues are. Empty: `test_fraction` of train is held out."
    )
    exclude: tuple[ExcludeSource, ...] = Field((), description="Dialogues that are taken out of train and test.")
    general: tuple[DataSource, ...] = Field(
        (),
        description="Where general text is, on which forgetting is measured. Its form is recognised by its fields; it "
        "need not be that of train.",
    )
    field: Annotated[str | None, AcceptedWords("the name of a record's field")] = Field(
        None,
        description="The field of a record that holds the text of a dialogue, or the answer to the record's `prompt`. "
        "Without it the form of the records is recognised by their fields.",
    )
    columns: Annotated[
        dict[str, Any], AcceptedWords(f"names of fields, by our names of them ({', '.join(COLUMNS)})")
    ] = Field({}, description="What the records call a field that has another name here: `{prompt: q, completion: a}`.")
    skip_broken: bool = Field(
        False, description="Leave records out that can't be used, and count them, instead of refusing the set."
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
        given = {key: value for key, value in values.items() if key not in _BESIDE_TRAIN or value is not None}
        if named and "train" not in named:
            raise problem("train", f"missing; data.{min(named)} is given, and what trains beside it is not")
        return given if named else {**STUDY_DATA, **given}

    @model_validator(mode="after")
    def _one_way_of_reading(self) -> "DataPart":
        named = list(self.columns.values())
        for ours, theirs in self.columns.items():
            if ours not in COLUMNS:
                raise problem("columns", f"{ours!r} is no field that is read; accepted: {', '.join(COLUMNS)}")
            if not isinstance(theirs, str):
                raise problem("columns", f"{ours} is {shown(theirs)}; accepted: the name of a field, as text")
            if named.count(theirs) > 1:
                raise problem("columns", f"{theirs!r} stands twice; a field of the records has one name here")
        if named and self.field is not None:
            raise problem("columns", "stands beside data.field, which reads one field as text; leave one of them out")
        return self

    @field_validator("train", *_BESIDE_TRAIN, mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value
