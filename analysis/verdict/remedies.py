"""The commands that would take a doubt away, ready to copy: the sweep's own command with a setting changed."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from analysis.results.experiment import Results
from basis.scripts import as_called, typed, words_of

SETTING = "--set"
FAIR = {"study": ("fair",), "demo": ("fair", SETTING, "variant=demo")}
"""Presets that have a counterpart with tuned rates, and what asks for that."""
TUNING_TRIALS = 5
DECADE = 10
"""By how much a range of rates goes beyond a rate that was given, to either side."""
LONGEST_SPACE = 600
"""Characters of a space that a command line may still hold."""
OWN_ARMS = ("space", "variant")
"""Settings that say which arms there are; a counterpart would take its ranges from them and so have none."""


def again_with(results: Results, **settings: str) -> str:
    """The sweep's command for a new directory, with these settings of its spec.

    Args:
        results: its record holds the command that began the sweep.
        settings: values by key; a double underscore stands for a dot.

    Returns:
        The command line; empty where the record has none of ours, or one that ends in control characters.
    """
    words = _words(results)
    if not words:
        return ""
    keys = {name.replace("__", "."): value for name, value in settings.items()}
    added = [word for key, value in keys.items() for word in (SETTING, f"{key}={value}")]
    return as_called("sweep.run", *_without(words, keys), *added)


def tuned_again(results: Results) -> str:
    """The sweep's command with each arm's learning rate tuned: of the preset that does so, or with ranges."""
    words, spec = _words(results), results.spec
    if not words or spec.get("search", "grid") != "grid":
        return ""
    places = [place for place, word in enumerate(words) if word in FAIR and words[place - 1 : place] != [SETTING]]
    if places and _without(words, OWN_ARMS) == words:
        return as_called("sweep.run", *words[: places[0]], *FAIR[words[places[0]]], *words[places[0] + 1 :])
    space = spec.get("space")
    branches = [_with_range(branch) for branch in space] if isinstance(space, list) else []
    shown = json.dumps(branches, default=str, skipkeys=True)
    if not branches or None in branches or len(shown) > LONGEST_SPACE:
        return ""
    return again_with(results, search="tuned", trials=str(TUNING_TRIALS), space=shown)


def resume(results: Results) -> str:
    """The command that continues the sweep."""
    return as_called("sweep.run", "--resume", typed(results.directory))


def _words(results: Results) -> list[str]:
    """The words of the sweep's command behind its name, each setting as two, without what says where it wrote to."""
    command = results.sweep.get("command")
    if not isinstance(command, str) or not command.isprintable():
        return []
    rest = words_of("sweep.run", command)
    if "--resume" in rest:
        return []
    kept, skip = [], False
    for word in rest:
        if not skip and word not in ("--output", "--or-resume") and not word.startswith("--output="):
            kept += [SETTING, word.partition("=")[2]] if word.startswith(f"{SETTING}=") else [word]
        skip = word == "--output"
    return kept


def _without(words: list[str], keys: Collection[str]) -> list[str]:
    """The words without settings of these keys, or of what they hold."""
    kept: list[str] = []
    for word in words:
        key = word.partition("=")[0]
        if kept and kept[-1] == SETTING and any(key == name or key.startswith(f"{name}.") for name in keys):
            kept.pop()
        else:
            kept.append(word)
    return kept


def _with_range(branch: Any) -> dict[str, Any] | None:
    """A branch of a space with a range of learning rates around those given; None where it gives none."""
    if not isinstance(branch, Mapping):
        return None
    rates = branch.get("lr")
    listed = rates if isinstance(rates, list) else [rates]
    if not all(isinstance(rate, (int, float)) and rate > 0 for rate in listed) or not listed:
        return None
    low, high = (float(f"{rate:.3g}") for rate in (min(listed) / DECADE, max(listed) * DECADE))
    return {**branch, "lr": {"low": low, "high": high, "log": True}}
