"""What all JSON documents of our commands have in common: a version, plain values, and no number that JSON has not."""

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

SCHEMA_VERSION: Literal[1] = 1
"""Of all documents together. It grows when a key goes or means something else; a new key leaves it."""


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A number, or null where it is unknown: JSON has neither NaN nor infinity."""


class Part(BaseModel):
    """A part of a document."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Document(Part):
    """What one command says, as one JSON object on a line of its own."""

    schema_version: Literal[1] = Field(SCHEMA_VERSION, description="Version of the schema of all documents.")


class IntervalPart(Part):
    """An estimate with the ends of its 95 % interval; null where the data carry none."""

    estimate: Number
    low: Number
    high: Number


def iso_time(seconds: float | None) -> str | None:
    """A moment in seconds since 1970 as ISO 8601, in UTC; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def plain(value: Any) -> Any:
    """A value of a config or of metrics as JSON has it: tuples as lists, numbers that are none as null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return _finite(value)
