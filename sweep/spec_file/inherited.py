"""What a spec hands down of its words: `about` and `tables` describe its own trials, and not those of an heir.

An heir is a file that extends the spec, or the same spec after --set. An heir with a `space` of its own has other
trials. It says itself what they compare, or has no tables.
"""

from collections.abc import Iterable, Mapping
from typing import Any

OF_NO_TRIAL = (
    *("name", "about", "tables", "variant", "variants", "extends", "published_figures"),
    *("resources", "memory", "max_failures", "checkpoint_seconds"),
)
"""Keys that change no trial, or only how a trial is run."""
NAMED_KEYS = 6
"""Changed keys that `about` names; it counts the others."""


def what_passes_on(below: Mapping[str, Any], above: Mapping[str, Any], parent: str) -> dict[str, Any]:
    """What a spec hands down to a file that extends it: all but its tables, if the file has a space of its own.

    Where the file changes the trials, `about` becomes a line that names what it changes.

    Args:
        below: the spec that is extended, merged.
        above: the file that extends it.
        parent: the name by which the file extends it.
    """
    passed = {key: value for key, value in below.items() if not (key == "tables" and "space" in above)}
    if changed := [str(key) for key in above if key not in OF_NO_TRIAL]:
        passed["about"] = f"{parent} with other {_joined(changed)}"
    return passed


def after_settings(merged: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The spec after --set: its `about` names what was changed, and a new space leaves its tables out.

    Args:
        merged: the spec, with the settings in it.
        keys: the dotted keys that were set.
    """
    given = list(dict.fromkeys(keys))
    whole_space = "space" in given and not any(key.split(".")[0] == "tables" for key in given)
    spec = {key: value for key, value in merged.items() if not (key == "tables" and whole_space)}
    changed = [key for key in given if key.split(".")[0] not in OF_NO_TRIAL]
    if changed and isinstance(spec.get("about", ""), str) and "about" not in given:
        words = f"with other {_joined(changed)}"
        spec["about"] = f"{spec['about']} ({words})" if spec.get("about") else words
    return spec


def _joined(names: list[str]) -> str:
    if len(names) > NAMED_KEYS:
        names = [*names[:NAMED_KEYS], f"{len(names) - NAMED_KEYS} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
