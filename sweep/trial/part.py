"""What all parts of a spec have in common."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from basis.errors import refused

LARGEST = 2**63
"""No number of a spec is as large."""

Count = Annotated[int, Field(ge=1, le=10**9)]
"""A whole number of 1 or more. What nobody means, such as 1e30 windows, is refused and not waited for."""


@dataclass(frozen=True)
class AcceptedWords:
    """Metadata of a field's type: what a person can type for it, in words, where the type alone does not tell."""

    words: str


class Part(BaseModel):
    """A part of a spec: unknown keys are refused, values do not change, and files and folders become absolute paths."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_values(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key, value in values.items():
                field = cls.model_fields.get(key)
                if field is None or any(isinstance(one, BeforeValidator) for one in field.metadata):
                    continue  # which looks for itself
                if isinstance(value, bool) and field.annotation is not bool:
                    raise refused(key, value)  # pydantic would take 1
        return values
