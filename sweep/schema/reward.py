"""The part `reward` of a spec: how a trial's responses are made and judged."""

import os
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from basis.errors import UserError, problem
from sweep.schema.model import ModelFolder, with_revision
from sweep.schema.places import MADE_HERE, STUDY, TEST, beside_of, checked, expand, looked_from
from sweep.schema.seeds import Seed
from sweep.trial.part import AcceptedWords, Count, Part

Match = Literal["exact", "contains", "regex", "number"]
"""How a response is compared with the right answer."""

PROMPTS = "'study', 'demo', 'demo-chat', 'test', or a file"

STUDY_TEMPLATE = "\n\nHuman: {prompt}\n\nAssistant:"
"""The text that responses continue in the published study, and for any tokenizer without a chat template."""


def _existing_prompts(source: str, info: ValidationInfo) -> str:
    if source in (*MADE_HERE, STUDY, TEST):
        return source
    path = expand(source)
    if not os.path.isfile(path):
        raise UserError(f"no such file{looked_from(source, beside_of(source, info))}; accepted: {PROMPTS}")
    return str(path.resolve())


PromptsFile = Annotated[str, checked(_existing_prompts), AcceptedWords(PROMPTS)]


class JudgePart(Part):
    """Judges responses by the right answers, without a reward model: each is right (1) or wrong (0)."""

    match: Match = Field(
        description="When a response is right. exact: it is the reference; contains: the reference stands in it; "
        "regex: the reference, a pattern of Python's, matches somewhere in it; number: its last number is the "
        "reference's, or the number behind '####', as GSM8K writes it.",
    )
    reference: Annotated[str | None, AcceptedWords("a column of the file `reward.prompts`")] = Field(
        None,
        description="The column of `reward.prompts` that holds the right answers; null under `prompts: test` alone, "
        "whose right answers are the test set's own.",
    )


class RewardPart(Part):
    """How a trial's responses are made and judged. `model: null` without a `judge` leaves reward metrics out."""

    model: Annotated[ModelFolder | None, AcceptedWords("a hub name, a folder, 'demo' or 'demo-chat'")] = Field(
        "OpenAssistant/reward-model-deberta-v3-large-v2",
        description="The reward model. `revision` beside it may name a branch, a tag or a commit. "
        "null: responses are judged by `judge`, or neither made nor judged.",
    )
    judge: JudgePart | None = Field(
        None, description="Judges by right answers, in place of the reward model; null: the reward model judges."
    )
    prompts: PromptsFile = Field(
        STUDY,
        description="The evaluation prompts; 'study' are the 166 of the published study, 'test' the first turns of the "
        "test set's conversations or pairs.",
    )
    max_prompts: Count | None = Field(None, description="How many of the prompts are used, from the first; null: all.")
    template: Annotated[str | None, AcceptedWords("the text that a response continues")] = Field(
        None,
        description="The text that a response continues; it holds '{prompt}'. null: the tokenizer's chat template, or "
        "without one '\\n\\nHuman: {prompt}\\n\\nAssistant:'.",
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

    @model_validator(mode="before")
    @classmethod
    def _judge_in_place_of_the_model(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("judge") is not None:
            return {"model": None, **values}  # not the default; one that is named is refused below
        return values

    @field_validator("template")
    @classmethod
    def _has_prompt(cls, template: str | None) -> str | None:
        if template is not None and "{prompt}" not in template:
            raise ValueError("the text '{prompt}' is missing from it")
        return template

    @model_validator(mode="after")
    def _judge_has_references(self) -> "RewardPart":
        if self.judge is None:
            return self
        if self.model is not None:
            raise problem("model", f"{self.model!r} and a judge are named; accepted: one of them, the other null")
        if self.prompts in (*MADE_HERE, STUDY):
            raise problem(
                "prompts", f"{self.prompts!r} has no right answers; a judge takes 'test', or a file with them"
            )
        if (self.prompts == TEST) != (self.judge.reference is None):
            where = "the test set's own answers" if self.prompts == TEST else "a column of reward.prompts"
            raise problem("judge", f"reference is {self.judge.reference!r}; accepted: {where}")
        return self

    @property
    def judged_by(self) -> str | None:
        """The reward model's name, or how answers are matched; None: responses are neither made nor judged."""
        return self.model if self.judge is None else f"right answers ({self.judge.match})"

    def unjudged(self) -> "RewardPart":
        """The same without any judge."""
        return self.model_copy(update={"model": None, "judge": None})
