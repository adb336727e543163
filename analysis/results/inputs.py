"""What a trial of one sweep has to share with one of another sweep to be its replicate: all inputs, and the code."""

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from analysis.results.experiment import Results
from basis.input_hashes import INPUT_HASHES

COMMIT = "@"
"""Stands between a name on the hub and its commit."""


def inputs_by_trial(name: str, results: Results) -> dict[str, tuple[str, str]]:
    """The identity of all that the numbers of each trial depend on besides its config.

    A trial without a record, as one that has not begun, has the inputs of a trial of its sweep and base model. What is
    not known, such as the code of a sweep without records, is the same as in no other sweep.

    Args:
        name: the sweep's name.
        results: the sweep.

    Returns:
        By trial the identity of all inputs and the code, and of those that are the same for every base model.
    """
    records = {trial: record for trial, record in results.records.items() if record.get("hashes")}
    of_model: dict[Any, tuple[str, str]] = {}
    for trial in sorted(records):
        of_model.setdefault(_model(results, trial), _inputs(name, records[trial]))
    return {
        trial: _inputs(name, records[trial]) if trial in records else of_model.get(_model(results, trial), (name, name))
        for trial in results.configs
    }


def base_models(parts: Mapping[str, Results]) -> dict[str, dict[str, str]]:
    """What to call the base model of each trial whose config names none, by sweep and trial.

    Args:
        parts: the sweeps by name.

    Returns:
        Empty where all trials of all sweeps start from the same weights, or nobody knows from which.
    """
    called: dict[str, str] = {}
    weights = {name: _weights(part) for name, part in parts.items()}
    if len({one for of_trials in weights.values() for one in of_trials.values()}) < 2:
        return {}
    for name, part in parts.items():
        for trial, digest in weights[name].items():
            if model := _model(part, trial):
                called.setdefault(digest, str(model))
    for name, part in parts.items():
        for digest in dict.fromkeys(weights[name].values()):
            if digest not in called:
                short = _model_name(part.spec) or "base model"
                called[digest] = f"{short} ({name})" if short in called.values() else short
    return {
        name: {trial: called[digest] for trial, digest in weights[name].items() if not _model(part, trial)}
        for name, part in parts.items()
    }


def _weights(results: Results) -> dict[str, str]:
    """The digest of the weights that each trial starts from; a trial without a record has its sweep's, if one is."""
    known = {
        trial: str(digest)
        for trial, record in results.records.items()
        if isinstance(hashes := record.get("hashes"), Mapping) and (digest := hashes.get("base_weights"))
    }
    alone = {*known.values()}
    if len(alone) == 1:
        return dict.fromkeys(results.configs, alone.pop())
    return known


def _inputs(name: str, record: Mapping[str, Any]) -> tuple[str, str]:
    hashes, code = _mapping(record["hashes"]), _mapping(record.get("code"))
    version = code.get("files") or code.get("commit") or f"unknown code of {name}"
    files = sorted(
        [str(role).partition(":")[0], str(digest)] for role, digest in _mapping(hashes.get("data_files")).items()
    )
    every = [{name: hashes.get(name) for name in INPUT_HASHES}, version]
    shared = [files, hashes.get("reward_model"), version]
    return json.dumps(every, sort_keys=True, default=str), json.dumps(shared, default=str)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _model(results: Results, trial: str) -> Any:
    return results.configs.get(trial, {}).get("model")


def _model_name(spec: Mapping[str, Any]) -> str:
    """The base model of a spec by the last part of its name, without its commit."""
    model = spec.get("model")
    name = model.get("name") if isinstance(model, Mapping) else model
    return PurePath(name).name.partition(COMMIT)[0] if isinstance(name, str) else ""
