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
    shown = [arm.shown_config for arm in arms]
    return [name for name in names if len(_values(shown, name)) > 1]


def _values(shown: list[dict[str, str]], name: str) -> set[str]:
    """The values of a field; what a config does not name is None, and does not apply where that means so."""
    unnamed = "" if name in DEPENDENT_FIELDS else repr(None)
    return {config.get(name, unnamed) for config in shown} - {""}


def matches(config: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    """Whether a config has the wanted value, or one of the wanted values, in every field of `where`."""
    return all(
        name in config and (config[name] == wanted or (isinstance(wanted, list) and config[name] in wanted))
        for name, wanted in where.items()
    )


WINDOW_FIELDS = ("block_size", "test_windows")
"""Fields that decide which windows an arm is tested on."""


def window_values(arm: Arm) -> tuple[object, ...]:
    """The values of WINDOW_FIELDS: how many windows an arm is tested on, and how many tokens one has."""
    return tuple(map(arm.config.get, WINDOW_FIELDS))


def windows(arm: Arm) -> tuple[object, ...]:
    """What decides which windows an arm is tested on: fields, and the text where arms of several tokenizers meet."""
    if arm.loss_metric == "test_loss":
        return (arm.test_set, *window_values(arm))
    return (arm.test_rows or arm.label, *window_values(arm))  # what is not known is the same as nothing else


def general_windows(arm: Arm) -> tuple[object, ...]:
    """What decides which windows of general text an arm is tested on: its base model's tokens, and fields."""
    return (arm.model, arm.general_set, *window_values(arm))


OWNER = {name: owner_of(name) for name in DEPENDENT_FIELDS}
"""Fields that are part of a method or of an optimizer; two methods or optimizers are compared each with its own."""
