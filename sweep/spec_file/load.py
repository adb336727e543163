"""From a preset's name or a YAML path to a SweepSpec: inheritance, variants, --set, and errors in one clear line."""

import difflib
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from basis.directory import SPEC_FILE
from basis.errors import SpecError, UserError, shortened, shown
from sweep.mistakes.explain import mistakes
from sweep.mistakes.gathered import Mistake, Mistakes, mistake
from sweep.search_space import candidate_trials
from sweep.spec.places import PRESETS, Beside, expand, looked_from
from sweep.spec.schema import SweepSpec
from sweep.spec_file.inherited import after_settings, what_passes_on
from sweep.spec_file.origins import Origins, locations, overridden, placed
from sweep.spec_file.paths import resolve_paths
from sweep.spec_file.read_yaml import MOST_KEPT_BYTES, Location, parse_yaml, read_lines, read_yaml
from sweep.trial.config import TrialConfig

MOST_PARTS = 10
"""Of a dotted key."""

BELONG_TO_TRAIN = ("test", "exclude")
"""Keys of `data` that are not inherited by whoever gives a `train` of their own."""


def preset_names() -> list[str]:
    """Names of the presets, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset_about(name: str) -> str:
    """The one line that describes a preset."""
    return str(read_yaml(PRESETS / f"{name}.yaml").get("about", ""))


def load_spec(name_or_path: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read, merge and validate a spec.

    The order of precedence, lowest first: the spec named by `extends`, the file itself, the variant that is chosen by
    `variant` (from `variants`), and then `overrides`, each "key=value" with a dotted key and a YAML value.
    Mappings are merged key by key; anything else, lists included, is replaced. One rule more: whoever gives
    `data.train` says what it is tested on, too. `data.test` and `data.exclude` from below belong to the train data
    from below, and go with it. Likewise `tables` from below belong to the `space` from below (see `inherited`).

    A relative path in a file leads from that file's folder if something lies there, or else from the working directory.

    Raises:
        UserError: in one line, what is wrong, where, and what would be accepted.
    """
    return parse_spec(*_merged(name_or_path, overrides))


def load_trials(name_or_path: str, overrides: Sequence[str] = ()) -> tuple[SweepSpec, list[TrialConfig]]:
    """As `load_spec`, with the trials that the sweep will or may run, see `search_space.candidate_trials`.

    Raises:
        UserError: all mistakes of spec and trials, each with where it stands.
    """
    return parse_trials(*_merged(name_or_path, overrides))


def resumed_trials(experiment_dir: Path) -> tuple[SweepSpec, list[TrialConfig]]:
    """The spec that an experiment keeps, and its trials.

    Raises:
        UserError: as `load_trials`.
    """
    path = experiment_dir / SPEC_FILE
    content, lines = read_lines(path, MOST_KEPT_BYTES)
    return parse_trials(
        _as_kept(content), None, {location: f"{path.name}, line {line}" for location, line in lines.items()}
    )


def _merged(name_or_path: str, overrides: Sequence[str]) -> tuple[dict[str, Any], Beside, Origins]:
    """The values of a spec, merged; which paths lie beside no file; and where each value comes from."""
    beside: Beside = {}
    merged, origins = _inherit(name_or_path, beside)
    settings = [_split_override(text) for text in overrides]
    chosen = [value for key, value in settings if key == "variant"]
    variant = chosen[-1] if chosen else merged.get("variant")
    variants = merged.pop("variants", {})
    if not isinstance(variants, dict):
        raise UserError(f"variants: {shown(variants)} is not accepted; it maps a variant's name to what it changes")
    if variant is not None:
        if not isinstance(variant, str) or variant not in variants:
            known = ", ".join(map(str, variants)) or "none in this spec"
            raise UserError(f"variant: {shown(variant)} is unknown; accepted: {known}")
        merged = _merge(merged, variants[variant], place=f"variants.{variant}")
        chosen_keys = ("variants", variant)
        of_variant = {location[2:]: origin for location, origin in origins.items() if location[:2] == chosen_keys}
        origins = overridden(origins, of_variant)
    keys = [key for key, _ in settings]
    if isinstance(merged.get("data"), dict) and _names_any(keys, "data.train"):
        kept = [name for name in BELONG_TO_TRAIN if _names_any(keys, f"data.{name}")]
        merged["data"] = {k: v for k, v in merged["data"].items() if k in kept or k not in BELONG_TO_TRAIN}
    for key, value in settings:
        location = _set(merged, key, value)
        origins = overridden(origins, dict.fromkeys(locations(value, location), f"--set {shortened(key, 60)}"))
    return after_settings(merged, keys), beside, origins


def parse_spec(values: dict[str, Any], beside: Beside | None = None, origins: Origins | None = None) -> SweepSpec:
    """Validate a mapping that is already merged, such as the spec.yaml of an experiment directory.

    Args:
        values: the mapping.
        beside: what `resolve_paths` was told; None for a spec that was kept, whose names have been understood before.
        origins: where each value comes from, where that is known.

    Raises:
        UserError: naming each offending key, its value and what would be accepted.
    """
    with placed(origins):
        try:
            return SweepSpec.model_validate(values, context=beside)
        except ValidationError as error:
            found = Mistakes(mistakes(error, SweepSpec))
            found.add_all(_mistakes_of_trials(values, {one["loc"][0] for one in error.errors() if one["loc"]}))
            found.refuse()
            raise


def parse_trials(
    values: dict[str, Any], beside: Beside | None = None, origins: Origins | None = None
) -> tuple[SweepSpec, list[TrialConfig]]:
    """As `parse_spec`, with the trials that the sweep will or may run.

    Raises:
        UserError: see `load_trials`.
    """
    spec = parse_spec(values, beside, origins)
    with placed(origins):
        return spec, candidate_trials(spec)


def _mistakes_of_trials(values: dict[str, Any], wrong: Collection[object]) -> list[Mistake]:
    """What is wrong with the trials of a spec that has other mistakes, so that all are told together.

    Args:
        values: the spec.
        wrong: its keys in which mistakes have been found already.
    """
    if {"space", "trial", "lora"} & set(wrong):
        return []
    known = {key: values[key] for key in ("space", "trial", "lora", "seeds") if key in values and key not in wrong}
    # Ranges are accepted under most searches, and this one looks at every choice and at the ends of ranges.
    search = {"search": values.get("search", "grid"), "trials": values.get("trials")}
    if {"search", "trials"} & set(wrong) or (search["search"] == "grid") != (search["trials"] is None):
        search = {"search": "optuna", "trials": 1}
        known.pop("seeds", None)
    try:
        candidate_trials(SweepSpec.model_validate({"name": "x", **known, **search}))
    except SpecError as error:
        return list(map(mistake, error.messages))
    except ValidationError:
        return []  # has been told
    return []


def parse_kept_spec(values: dict[str, Any]) -> SweepSpec:
    """Validate the spec that an experiment keeps.

    Raises:
        UserError: as `parse_spec`.
    """
    return parse_spec(_as_kept(values))


def _as_kept(values: dict[str, Any]) -> dict[str, Any]:
    """What a kept spec means: before there was `choose_on`, searches tested all that they tried."""
    before = values.get("search") in ("random", "optuna") and "choose_on" not in values
    return {**values, "choose_on": "test"} if before else values


def _read(path: Path) -> tuple[dict[str, Any], Origins]:
    content, lines = read_lines(path)
    name = shortened(path.name, 60)
    return {"name": path.stem, **content}, {at: f"{name}, line {line}" for at, line in lines.items()}


def _locate(name_or_path: str, folder: Path | None) -> Path:
    if name_or_path in preset_names():
        return PRESETS / f"{name_or_path}.yaml"
    path = expand(name_or_path)
    found = next((one for one in ([folder / path] if folder else []) + [path] if os.path.isfile(one)), None)
    if found is None:
        near = difflib.get_close_matches(name_or_path, preset_names(), 1)
        hint = f" (did you mean {near[0]!r}?)" if near else looked_from(name_or_path, [folder] if folder else [])
        raise UserError(
            f"{shown(name_or_path)} is neither a preset nor a YAML file{hint}; presets: {', '.join(preset_names())}"
        )
    return found


def _inherit(
    name_or_path: str, beside: Beside, folder: Path | None = None, seen: tuple[Path, ...] = ()
) -> tuple[dict[str, Any], Origins]:
    path = _locate(name_or_path, folder).resolve()
    if path in seen:
        raise UserError(f"{path}: extends itself, through {' and '.join(p.name for p in seen)}")
    content, origins = _read(path)
    if path.parent != PRESETS.resolve():  # presets name no paths
        content = resolve_paths(content, path.parent, beside)
    parent = content.pop("extends", None)
    if parent is None:
        return content, origins
    if not isinstance(parent, str):
        raise UserError(f"extends: {shown(parent)} is not accepted; it names one preset or YAML file")
    below, below_origins = _inherit(parent, beside, path.parent, (*seen, path))
    return _merge(what_passes_on(below, content, parent), content), overridden(below_origins, origins)


def _merge(below: dict[str, Any], above: Any, key: str = "", place: str = "") -> dict[str, Any]:
    if not isinstance(above, dict):
        raise UserError(f"{place}: {shown(above)} is not accepted; accepted: a mapping of keys to values")
    merged = dict(below)
    if key == "data" and "train" in above:
        merged = {name: value for name, value in below.items() if name not in BELONG_TO_TRAIN}
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merge(merged[name], value, name) if both else value
    return merged


def _split_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if key in ("extends", "variants"):
        raise UserError(f"--set {key}: not accepted; write it into a file")
    parts = key.split(".")
    if not equals or not all(parts) or not key.isprintable():
        raise UserError(f"--set {shown(text)} is not accepted; write --set key=value, such as --set trial.steps=100")
    if len(parts) > MOST_PARTS:
        raise UserError(f"--set {shortened(key, 60)}: has {len(parts)} parts; no key of a spec has more than a few")
    return key, parse_yaml(value, f"--set {shortened(key, 60)}")


def _names_any(keys: Sequence[str], name: str) -> bool:
    """Whether one of the dotted keys is `name` or lies within it."""
    return any(key == name or key.startswith(f"{name}.") for key in keys)


def _set(values: dict[str, Any], dotted: str, value: Any) -> Location:
    """Set a value at a dotted key, and return the keys and indices that it stands at."""
    at: Any = values
    key = shortened(dotted, 60)
    *parents, last = dotted.split(".")
    location: list[int | str] = []
    for depth, parent in enumerate(parents):
        index = _index(parent, at)
        inside = None if index is None else at[index]
        if isinstance(at, dict):
            inside = at.setdefault(parent, {})
        if not isinstance(inside, dict | list):
            place = shortened(".".join(parents[: depth + 1]), 60)
            if isinstance(at, list):
                raise UserError(f"--set {key}: there is no {place}; {_indices(at)} instead of {shown(parent)}")
            raise UserError(f"--set {key}: {place} has no keys of its own")
        if isinstance(at, dict):  # a copy, so that presets merged from one mapping stay apart
            inside = at[parent] = inside.copy()
        location.append(parent if index is None else index)
        at = inside
    if isinstance(at, list):
        index = _index(last, at)
        if index is None:
            raise UserError(f"--set {key}: {shown(last)} is not an index; {_indices(at)}")
        at[index] = value
        return (*location, index)
    at[last] = value
    return (*location, last)


def _index(text: str, at: object) -> int | None:
    """The index that a text names in a list; None for any other text, and where there is no list."""
    digits = text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if isinstance(at, list) and digits and int(text) < len(at) else None


def _indices(values: Sequence[object]) -> str:
    return f"accepted: 0 to {len(values) - 1}" if values else "it is an empty list"
