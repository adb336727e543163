"""Which fields of their configs tell the arms of a table apart, and which apply to an arm at all."""

from collections.abc import Mapping
from typing import Any

from analysis.comparison.arms import Arm
from basis.fields import DEPENDENT_FIELDS, owner_of


def varying_fields(arms: list[Arm]) -> list[str]:
    """Config fields in which some of the arms differ, in the order of the config.

    An arm to which a field does not apply, as no rank applies to full fine-tuning, does not differ from others in it.
    """
    names = dict.fromkeys(name for arm in arms for name in arm.config)
    rows: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for arm in arms:  # by the fields that are told of them: arms of one kind have the same ones
        rows.setdefault(tuple(arm.shown_config), []).append(tuple(arm.shown_config.values()))
    values: dict[str, set[str]] = {name: set() for name in names}
    for told, alike in rows.items():
        for name, column in zip(told, zip(*alike, strict=True), strict=True):
            values[name].update(column)
        for name in names.keys() - set(told) - set(DEPENDENT_FIELDS):
            values[name].add(repr(None))  # what a config does not name is None
    return [name for name in names if len(values[name]) > 1]


def matches(config: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """Whether a config has the wanted value, or one of the wanted values, in every field of `where`."""
    return all(
        name in config and (config[name] == wanted or (isinstance(wanted, list) and config[name] in wanted))
        for name, wanted in where.items()
    )


def windows(arm: Arm) -> tuple[object, ...]:
    """What decides which windows an arm is tested on: fields, and the text where arms of several tokenizers meet."""
    if arm.loss_metric == "test_loss":
        return (arm.test_set, *arm.window_values)
    return (arm.test_rows or arm.label, *arm.window_values)  # what is not known is the same as nothing else


def general_windows(arm: Arm) -> tuple[object, ...]:
    """What decides which windows of general text an arm is tested on: its base model's tokens, and fields."""
    return (arm.model, arm.general_set, *arm.window_values)


OWNER = {name: owner_of(name) for name in DEPENDENT_FIELDS}
"""Fields that are part of a method or of an optimizer; two methods or optimizers are compared each with its own."""
