"""What a spec says of itself, as far as it still holds once another file or --set has changed it.

A title of a table and the line `about` are an author's words for an author's trials. Whoever gives a `space` of their
own has other trials: they say what is compared, or nobody does.
"""

from collections.abc import Iterable, Mapping
from typing import Any

OF_NO_TRIAL = (
    *("name", "about", "tables", "variant", "variants", "extends", "published_figures"),
    *("resources", "memory", "max_failures", "checkpoint_seconds"),
)
"""Keys that change no trial, or only how it is run."""
NAMED_KEYS = 6
"""How many keys are named before they are merely counted."""


def what_passes_on(below: Mapping[str, Any], above: Mapping[str, Any], parent: str) -> dict[str, Any]:
    """What a spec file hands down to one that extends it: not its tables to another space, not its words at all.

    Args:
        below: the file that is extended, merged.
        above: the file that extends it.
        parent: what that calls the first.
    """
    passed = {key: value for key, value in below.items() if not (key == "tables" and "space" in above)}
    if changed := [str(key) for key in above if key not in OF_NO_TRIAL]:
        passed["about"] = f"{parent} with other {_joined(changed)}"
    return passed


def after_settings(merged: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The spec after --set: with what was changed in its line `about`, and no tables made for another space.

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
