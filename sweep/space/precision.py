"""Settles `precision: auto`, once and for all trials of a sweep, so that none computes otherwise than the others."""

from collections.abc import Collection, Mapping
from typing import Any

from basis.fields import Precision
from sweep.schema.sweep_spec import SweepSpec

FIELD = "precision"


def best_precision(native: Collection[Precision]) -> Precision:
    """What `auto` stands for on devices that have the `native` precisions: bf16, or fp32 without it."""
    return "bf16" if "bf16" in native else "fp32"


def asks_for_auto(spec: SweepSpec) -> bool:
    """Whether a spec says `precision: auto` of a trial, or of those that a table shows."""
    tables = [table.where for table in spec.tables]
    return any("auto" in _listed(part.get(FIELD)) for part in (spec.trial, spec.lora, *spec.space, *tables))


def settle_precision(spec: SweepSpec, native: Collection[Precision]) -> SweepSpec:
    """The spec with a precision in place of each `auto`.

    Args:
        spec: the sweep.
        native: the precisions that every device of the sweep has.
    """
    if not asks_for_auto(spec):
        return spec
    best = best_precision(native)
    return spec.model_copy(
        update={
            "trial": _settled(spec.trial, best),
            "lora": _settled(spec.lora, best),
            "space": tuple(_settled(branch, best) for branch in spec.space),
            "tables": tuple(table.model_copy(update={"where": _settled(table.where, best)}) for table in spec.tables),
        }
    )


def _settled(part: Mapping[str, Any], best: Precision) -> dict[str, Any]:
    """A part of a spec with `best` for `auto`; a list that had both names it once."""
    if "auto" not in _listed(part.get(FIELD)):
        return dict(part)
    values = list(dict.fromkeys(best if value == "auto" else value for value in _listed(part[FIELD])))
    return {**part, FIELD: values if isinstance(part[FIELD], list | tuple) else values[0]}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
