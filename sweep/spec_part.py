"""What all parts of a spec have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from sweep.errors import problem


class Part(BaseModel):
    """A part of a spec: unknown keys are refused, values do not change, and files and folders become absolute paths."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_values(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key, value in values.items():
                field = cls.model_fields.get(key)
                if isinstance(value, bool) and field is not None and field.annotation is not bool:
                    raise problem(key, f"{str(value).lower()} is not accepted here")  # pydantic would take 1
        return values
