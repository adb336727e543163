"""What parts of a spec have in common: strictness, and types for their fields."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from basis.errors import refused

LARGEST = 2**63
"""No number of a spec is as large."""

Count = Annotated[int, Field(ge=1, le=10**9)]
"""A whole number of 1 or more; one such as 1e30 windows, which nobody means, is refused."""


@dataclass(frozen=True)
class AcceptedWords:
    """Metadata of a field's type: what a person can type for it, in words, where the type alone does not tell."""

    words: str


class Part(BaseModel):
    """A part of a spec. Unknown keys are refused, values do not change, and paths become absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_values(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key, value in values.items():
                field = cls.model_fields.get(key)
                if field is None or any(isinstance(note, BeforeValidator) for note in field.metadata):
                    continue  # its own validator looks at the value
                if isinstance(value, bool) and field.annotation is not bool:
                    raise refused(key, value)  # pydantic would take 1
        return values
