"""The part `tables` of a spec: what its report compares."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from sweep.trial.config import TrialConfig
from sweep.trial.part import AcceptedWords, Part


class Table(Part):
    """A comparison of the report: the arms that match `where`, told apart by `factor`."""

    title: str = Field(description="The table's heading.")
    where: Annotated[
        dict[str, Any], AcceptedWords("fields of the arms and their values, such as {optimizer: adamw}")
    ] = Field(
        {},
        description="The arms that the table shows, by the value, or list of values, of a field. Empty: all arms.",
    )
    factor: Annotated[str | None, AcceptedWords("a field of a trial, such as rank")] = Field(
        None, description="The field that the table compares; another field that differs is told as a confound."
    )

    @field_validator("where")
    @classmethod
    def _known_fields(cls, where: dict[str, Any]) -> dict[str, Any]:
        for field in where:
            _check_field(field)
        return where

    @field_validator("factor")
    @classmethod
    def _known_factor(cls, factor: str | None) -> str | None:
        if factor is not None:
            _check_field(factor)
        return factor


def _check_field(field: str) -> None:
    if field not in TrialConfig.model_fields:
        raise ValueError(f"{field!r} is not a trial's field; accepted: {', '.join(TrialConfig.model_fields)}")
