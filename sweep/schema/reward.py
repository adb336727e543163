"""The part `reward` of a spec: how a trial's responses are made and judged."""

import os
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from basis.errors import UserError
from sweep.schema.model import ModelFolder, with_revision
from sweep.schema.places import MADE_HERE, STUDY, beside_of, checked, expand, looked_from
from sweep.schema.seeds import Seed
from sweep.trial.part import AcceptedWords, Count, Part

_PROMPTS = "'study', 'demo', 'demo-chat', or a CSV file with a column 'prompt'"


def _existing_prompts(source: str, info: ValidationInfo) -> str:
    if source in (*MADE_HERE, STUDY):
        return source
    path = expand(source)
    if not os.path.isfile(path):
        looked = looked_from(source, beside_of(source, info))
        raise UserError(f"no such file{looked}; accepted: {_PROMPTS}")
    return str(path.resolve())


PromptsFile = Annotated[str, checked(_existing_prompts), AcceptedWords(_PROMPTS)]


class RewardPart(Part):
    """How a trial's responses are made and judged. `model: null` leaves reward metrics out."""

    model: Annotated[ModelFolder | None, AcceptedWords("a hub name, a folder, 'demo' or 'demo-chat'")] = Field(
        "OpenAssistant/reward-model-deberta-v3-large-v2",
        description="The reward model. `revision` beside it may name a branch, a tag or a commit. "
        "null: responses are neither made nor judged.",
    )
    prompts: PromptsFile = Field(
        STUDY, description="The evaluation prompts; 'study' are the 166 of the published study."
    )
    max_prompts: Count | None = Field(None, description="How many of the prompts are used, from the first; null: all.")
    template: Annotated[str, AcceptedWords("the text that a response continues")] = Field(
        "\n\nHuman: {prompt}\n\nAssistant:", description="The text that a response continues; it holds '{prompt}'."
    )
    temperature: float = Field(0.9, gt=0, description="Sampling temperature: logits are divided by it.")
    top_k: Count | None = Field(200, description="Sample from this many likeliest tokens; null: from all.")
    new_tokens: Count = Field(100, description="Longest response, in tokens.")
    batch_size: Count = Field(32, description="Responses that are made, and judged, at once.")
    seed: Seed = Field(0, description="Seed of the sampling, the same for every trial and the base model.")

    @model_validator(mode="before")
    @classmethod
    def _revision_beside_the_model(cls, values: Any) -> Any:
        return with_revision(values, "model")

    @field_validator("template")
    @classmethod
    def _has_prompt(cls, template: str) -> str:
        if "{prompt}" not in template:
            raise ValueError("the text '{prompt}' is missing from it")
        return template
