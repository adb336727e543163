"""Which trials are replicates of one arm, and what a report calls the arms."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from analysis.wording.values import show_field, texts_apart
from basis.fields import arm_label
from basis.stages import Stage

REPLICATE_FIELD = "seed"
"""The one field in which the replicates of an arm differ."""

_AS_TEXT = json.JSONEncoder(sort_keys=True, default=str)


def is_tuning(config: Mapping[str, Any]) -> bool:
    """Whether a trial only served to choose settings: such a one never sees test windows or prompts."""
    return config.get("evaluate_on") == Stage.TUNING


def arm_key(config: Mapping[str, Any]) -> str:
    """The identity of an arm: its config without the seed, as text."""
    return _AS_TEXT.encode({k: v for k, v in config.items() if k != REPLICATE_FIELD})


def label_arms(configs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Name every arm, with the fields in which arms of the same short name differ.

    Args:
        configs: the configs of all trials; empty ones are passed over.

    Returns:
        Label of each arm by its key (see `arm_key`), such as "lora r1 adamw lr=0.001".
    """
    return _labels_by_key({arm_key(config): config for config in configs if config})


def labels_of(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The label of each config's arm among these, see `label_arms`."""
    keys = [arm_key(config) for config in configs]
    labels = _labels_by_key(dict(zip(keys, configs, strict=True)))
    return [labels[key] for key in keys]


def _labels_by_key(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The label of each arm by its key, given a config of each."""
    groups: dict[str, list[str]] = {}
    for key, config in arms.items():
        groups.setdefault(arm_label(dict(config)), []).append(key)
    labels: dict[str, str] = {}
    for short, keys in groups.items():
        names = dict.fromkeys(name for key in keys for name in arms[key] if name != REPLICATE_FIELD)
        differing = [name for name in names if len({repr(arms[key].get(name)) for key in keys}) > 1]
        configs_alike = [arms[key] for key in keys]
        labels |= dict(zip(keys, texts_apart(partial(_labels, short, configs_alike, differing)), strict=True))
    return labels


def _labels(short: str, configs: list[Mapping[str, Any]], fields: list[str], digits: int) -> list[str]:
    """The short name of each config with these fields, their numbers with so many digits."""
    return [" ".join([short, *(_labelled(name, config.get(name), digits) for name in fields)]) for config in configs]


def _labelled(name: str, value: object, digits: int) -> str:
    """A field in an arm's label; options say their names themselves."""
    text = show_field(value, digits)
    return text if isinstance(value, Mapping) and value else f"{name}={text}"
