"""Which trials of a search compete with each other: the one decision that a sweep and its report share.

A search chooses within groups. Under search 'tuned' a group is an arm but for the ranges of its branch. Under random
and Optuna search it is a branch, and within it each base model, and each value of a field that some table compares: so
a table of ranks has the best of each rank. Works on plain mappings, and needs nothing but them.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from basis.fields import LIST_FIELDS, MAPPING_FIELDS

Group = tuple[int, str]
"""A branch by its place in the space (-1: none that is known), and the values of what is compared, as text."""


def chooses_on_validation(spec: Mapping[str, Any]) -> bool:
    """Whether the settings of a sweep's arms are chosen on validation windows.

    Args:
        spec: as a sweep keeps it; one that was kept before `choose_on` existed searched on test windows.
    """
    search = spec.get("search")
    return search == "tuned" or (search in ("random", "optuna") and spec.get("choose_on", "test") != "test")


def chosen_by(spec: Mapping[str, Any]) -> str:
    """The metric by which such a sweep chooses, the lower the better; "test_loss" of a spec is that of validation."""
    return "train_loss" if spec.get("metric") == "train_loss" else "validation_loss"


def searched_fields(spec: Mapping[str, Any]) -> list[str]:
    """Fields whose values were chosen on validation windows, in any branch; none where nothing was chosen so."""
    return list(dict.fromkeys(name for branch in _branches(spec) for name in _searched(spec, branch)))


def searched_for(spec: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """The same in the branch that a config comes from."""
    branches, index = _branches(spec), branch_of(spec, config)
    return _searched(spec, branches[index]) if index >= 0 else []


def group_of(spec: Mapping[str, Any], config: Mapping[str, Any]) -> Group:
    """The group of trials among which one of this config competes."""
    index = branch_of(spec, config)
    branch = _branches(spec)[index] if index >= 0 else {}
    compared = {name: config.get(name) for name in branch if name not in _searched(spec, branch)}
    return index, json.dumps(compared, default=str)


def branch_of(spec: Mapping[str, Any], config: Mapping[str, Any]) -> int:
    """The first branch of a spec's space that a config may come from; -1 without one."""
    return next(
        (
            index
            for index, branch in enumerate(_branches(spec))
            if all(_may_be(name, config.get(name), choice) for name, choice in branch.items())
        ),
        -1,
    )


def _branches(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    space = spec.get("space")
    listed = space if isinstance(space, (list, tuple)) else []
    return [branch if isinstance(branch, Mapping) else {} for branch in listed]


def _searched(spec: Mapping[str, Any], branch: Mapping[str, Any]) -> list[str]:
    if not chooses_on_validation(spec):
        return []
    tables = spec.get("tables")
    listed = tables if isinstance(tables, (list, tuple)) else []
    compared = ["model", *(table.get("factor") for table in listed if isinstance(table, Mapping))]
    return [
        name
        for name, choice in branch.items()
        if (isinstance(choice, Mapping) and name not in MAPPING_FIELDS)
        or (spec.get("search") != "tuned" and _several(name, choice) and name not in compared)
    ]


def _several(name: str, choice: Any) -> bool:
    """Whether a branch gives a field more values than one."""
    if not isinstance(choice, (list, tuple)) or len(choice) < 2:
        return False
    return name not in LIST_FIELDS or isinstance(choice[0], (list, tuple))


def _may_be(name: str, value: Any, choice: Any) -> bool:
    """Whether a config may have this value by what its branch says; a null there stands for whatever is the default."""
    if isinstance(choice, Mapping) and name not in MAPPING_FIELDS:
        numbers = [
            number for number in (choice.get("low"), value, choice.get("high")) if isinstance(number, (int, float))
        ]
        if len(numbers) < 3:
            return False
        low, middle, high = map(float, numbers)
        return low <= middle <= high or any(math.isclose(middle, end) for end in (low, high))  # exp(log(low))
    same = list(value) if isinstance(value, tuple) else value
    several = isinstance(choice, (list, tuple))
    return bool(choice is None or same == choice or (several and (same in choice or None in choice)))


def looks_at(spec: Mapping[str, Any]) -> int:
    """How often the pairs may have been tested while seeds were added: once where the spec fixes the seeds."""
    seeds = spec.get("seeds")
    return int(seeds["max"]) - int(seeds["min"]) + 1 if isinstance(seeds, Mapping) else 1
