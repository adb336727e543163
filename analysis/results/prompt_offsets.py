"""Prompts of several sweeps under one numbering: only the same prompts, sampled and judged alike, share a number."""

import json
from collections.abc import Mapping
from typing import Any

from analysis.results.experiment import Results

JUDGING = ("prompts", "reward_model")
"""Hashes in a trial's record without which rewards of the same prompt do not compare."""


def offsets_of_prompts(parts: Mapping[str, Results]) -> dict[str, int]:
    """By how much the prompts of each sweep move on, so that no number stands for prompts that do not compare.

    Args:
        parts: the sweeps by name.

    Returns:
        The same offset for sweeps of the same prompts, sampling and judge as far as records tell; 0 for the first.
    """
    offsets: dict[str, int] = {}
    taken: dict[str, int] = {}
    beyond = 0
    for name, part in parts.items():
        if part.responses.empty:
            offsets[name] = 0
            continue
        key = _judging(name, part)
        if key not in taken:
            taken[key] = beyond
            beyond += int(part.responses["index"].max()) + 1
        offsets[name] = taken[key]
    return offsets


def _judging(name: str, results: Results) -> str:
    hashes: list[Mapping[str, Any]] = [
        record["hashes"] for record in results.records.values() if isinstance(record.get("hashes"), Mapping)
    ]
    known = sorted({json.dumps([of_trial.get(one) for one in JUDGING]) for of_trial in hashes})
    return json.dumps(known) if known else name
