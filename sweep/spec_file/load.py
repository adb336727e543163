"""From a preset's name or a YAML path to a validated SweepSpec and its trials, with each mistake in one clear line."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from basis.directory import SPEC_FILE
from basis.errors import SpecError
from sweep.mistakes.explain import mistakes
from sweep.mistakes.gathered import Mistake, Mistakes, mistake
from sweep.schema.places import Beside
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import SweepPlan, candidate_trials, plan_sweep
from sweep.spec_file.merging import merge_spec
from sweep.spec_file.origins import Origins, placed
from sweep.spec_file.read_yaml import MOST_KEPT_BYTES, read_lines


def load_spec(given: str | Mapping[str, Any], overrides: Sequence[str] = ()) -> SweepSpec:
    """Read, merge and validate a spec: a preset by its name, a YAML file by its path, or a mapping.

    The order of precedence, lowest first: the spec named by `extends`, the file itself, the variant that is chosen by
    `variant` (from `variants`), and then `overrides`, each "key=value" with a dotted key and a YAML value.
    Mappings are merged key by key; anything else, lists included, is replaced. One rule more: whoever gives
    `data.train` says what it is tested on, too. `data.test`, `data.exclude` and `data.general` from below belong to
    the train data from below, and go with it. Likewise `tables` from below belong to the `space` from below (see
    `inherited`).

    A relative path in a file leads from that file's folder if something lies there, or else from the working directory.

    Raises:
        UserError: in one line, what is wrong, where, and what would be accepted.
    """
    return parse_spec(*merge_spec(given, overrides))


def load_plan(given: str | Mapping[str, Any], overrides: Sequence[str] = ()) -> SweepPlan:
    """As `load_spec`, with the trials of the sweep.

    Raises:
        UserError: all mistakes of spec and trials, each with where it stands.
    """
    return _parse_plan(*merge_spec(given, overrides))


def load_kept_plan(experiment_dir: Path) -> SweepPlan:
    """The spec that an experiment keeps, and its trials.

    Raises:
        UserError: as `load_plan`.
    """
    path = experiment_dir / SPEC_FILE
    content, lines = read_lines(path, MOST_KEPT_BYTES)
    return _parse_plan(
        _as_kept(content), None, {location: f"{path.name}, line {line}" for location, line in lines.items()}
    )


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
            all_mistakes = Mistakes(mistakes(error, SweepSpec))
            wrong = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
            all_mistakes.add_all(_mistakes_of_trials(values, wrong))
            all_mistakes.refuse()
            raise


def _parse_plan(values: dict[str, Any], beside: Beside | None, origins: Origins) -> SweepPlan:
    """As `parse_spec`, with the trials of the sweep; see `load_plan`."""
    spec = parse_spec(values, beside, origins)
    with placed(origins):
        return plan_sweep(spec)


def _mistakes_of_trials(values: dict[str, Any], wrong: Collection[object]) -> list[Mistake]:
    """What is wrong with the trials of a spec that has other mistakes, so that all are told together.

    Args:
        values: the spec.
        wrong: its keys in which mistakes have been found already.
    """
    if {"space", "trial", "lora"} & set(wrong):
        return []
    of_trials = ("model", "space", "trial", "lora", "seeds")
    known = {key: values[key] for key in of_trials if key in values and key not in wrong}
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
    """What a kept spec means.

    Before there was `choose_on`, searches tested all that they tried. A trial could ask for several GPUs, and used one.
    """
    meant = dict(values)
    if values.get("search") in ("random", "optuna") and "choose_on" not in values:
        meant["choose_on"] = "test"
    resources = values.get("resources")
    if isinstance(resources, dict) and isinstance(gpus := resources.get("gpu"), int | float) and gpus > 1:
        meant["resources"] = {**resources, "gpu": 1.0}
    return meant
