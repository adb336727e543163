"""Pins a spec: every name on the hub gets the commit that it stands for now."""

import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

from sweep.hub.errors import Kind
from sweep.hub.fetch import Say, resolve
from sweep.schema.data_folders import Role
from sweep.schema.hub_names import HubName, dataset_name, model_name
from sweep.schema.model import ModelPart
from sweep.schema.places import MADE_HERE
from sweep.schema.sources import source_files
from sweep.schema.sweep_spec import SweepSpec

Commit = Callable[[HubName, Kind, str], str]
"""Tells which commit a name of a kind stands for; at last the key of the spec that an error names."""

_COMMIT = re.compile("[0-9a-f]{40}")


def pin(spec: SweepSpec, say: Say) -> SweepSpec:
    """Pin a spec, so that --resume and --reproduce get the same files later, whatever has been pushed meanwhile.

    Args:
        spec: the sweep.
        say: told of each name for which the hub could not be asked.

    Returns:
        The spec with NAME@COMMIT for each name on the hub.

    Raises:
        UserError: a name is not on the hub, the user may not read it, or neither hub nor cache answers.
    """
    return _pinned_spec(spec, lambda name, kind, key: resolve(name, kind, key, say))


def hub_names(spec: SweepSpec) -> list[tuple[HubName, Kind, str]]:
    """The names on the hub that a spec needs, each with its kind and its key in the spec; asks no hub."""
    found: list[tuple[HubName, Kind, str]] = []

    def note(name: HubName, kind: Kind, key: str) -> str:
        found.append((name, kind, key))
        return name.revision or "main"

    _pinned_spec(spec, note)
    return list(dict.fromkeys(found))


def pin_as(spec: SweepSpec, kept: SweepSpec) -> SweepSpec:
    """Pin a spec to the commits that another one, which has been pinned, has for the same names; asks no hub.

    A commit that the spec itself gives stays. A name that the other one does not have gets the branch it stands for.
    """
    commits = {at.at(""): at.revision for at in _pinned_names(kept.model_dump(mode="json")) if at.revision}

    def commit(name: HubName, kind: Kind, key: str) -> str:
        given = name.revision or "main"
        return given if _COMMIT.fullmatch(given) else commits.get(name.at(""), given)

    return _pinned_spec(spec, commit)


def _pinned_names(value: Any) -> Iterator[HubName]:
    """Every text of a pinned spec that is a name at a commit."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _pinned_names(inner)
    elif isinstance(value, str):
        for name in (model_name(value), dataset_name(value)):
            if name is not None and _COMMIT.fullmatch(name.revision or ""):
                yield name


def _pinned_spec(spec: SweepSpec, commit: Commit) -> SweepSpec:
    reward = spec.reward
    models = {key: _pinned_base(part, key, commit) for key, part in spec.models_by_key.items()}
    data = {
        role: tuple(_pinned_dataset(source, role, commit) for source in getattr(spec.data, role))
        for role in get_args(Role)
    }
    return spec.model_copy(
        update={
            "model": tuple(models.values()) if isinstance(spec.model, tuple) else models["model"],
            "data": spec.data.model_copy(update=data),
            "reward": reward.model_copy(update={"model": _pinned_model(reward.model, "reward.model", commit)}),
        }
    )


def _pinned_base(model: ModelPart, key: str, commit: Commit) -> ModelPart:
    """A base model with the commits of its weights and its tokenizer; `key` is where it stands in the spec."""
    tokenizer = model.tokenizer
    if tokenizer is None and model.init == "random":  # the weights come from nowhere, the tokenizer may be the hub's
        tokenizer = model.name
    changes = {"tokenizer": _pinned_model(tokenizer, f"{key}.tokenizer", commit)}
    if model.init == "pretrained" or "/" in model.name:
        changes["name"] = _pinned_model(model.name, f"{key}.name", commit)
    return model.model_copy(update=changes)


def hub_model(name: str) -> HubName | None:
    """The model on the hub that a validated spec names; None for one that is made here, and for an absolute path."""
    return None if name in MADE_HERE or name.startswith("/") else model_name(name)


def _pinned_model(name: str | None, key: str, commit: Commit) -> str | None:
    on_hub = hub_model(name) if name else None
    return _pinned(on_hub, "model", key, commit) if on_hub else name


def _pinned_dataset(source: str, role: Role, commit: Commit) -> str:
    on_hub = dataset_name(source) if source not in MADE_HERE and source_files(source, role) is None else None
    return _pinned(on_hub, "dataset", f"data.{role}", commit) if on_hub else source


def _pinned(name: HubName, kind: Kind, key: str, commit: Commit) -> str:
    return str(name.at(commit(name, kind, key)))
