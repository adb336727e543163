"""A spec that is to be submitted, resolved here although some of what it names lies on the cluster alone.

Validating a spec looks at its files. In place of an absolute path that leads nowhere here an empty stand-in is looked
at; whoever reads the resolved spec gets the path itself.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from sweep.preparation.first_look import look_at_files
from sweep.schema.data_folders import Role, suffix_of
from sweep.schema.file_patterns import matching_files
from sweep.schema.places import STUDY
from sweep.schema.sources import is_pattern
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import SweepPlan, plan_sweep
from sweep.spec_file.load import parse_spec
from sweep.spec_file.merging import merge_spec

PARTS = ("data", "model", "reward", "trial", "space")
NAMING = ("train", "test", "exclude", "general", "name", "tokenizer", "model", "prompts")
"""Keys within these parts that may hold paths. A template's file is read here, and its text goes along."""


@dataclass(frozen=True)
class Resolved:
    """A spec with what it names here and there.

    Attributes:
        plan: the sweep and its trials, with stand-ins.
        elsewhere: the paths that lie on the cluster alone, by their stand-ins.
    """

    plan: SweepPlan
    elsewhere: Mapping[str, str]

    @property
    def local(self) -> SweepSpec:
        """The spec without what lies on the cluster alone; it is looked at, and not run."""
        spec = self.plan.spec
        data = {
            role: tuple(source for source in getattr(spec.data, role) if source not in self.elsewhere)
            for role in get_args(Role)
        }
        reward: dict[str, str | None] = {"prompts": STUDY} if spec.reward.prompts in self.elsewhere else {}
        if spec.reward.model in self.elsewhere:
            reward["model"] = None
        models = {
            key: model.model_copy(
                update={field: no for field, no in (("name", ""), ("tokenizer", None)) if self._is_there(model, field)}
            )
            for key, model in spec.models_by_key.items()
        }
        return spec.model_copy(
            update={
                "data": spec.data.model_copy(update=data),
                "reward": spec.reward.model_copy(update=reward),
                "model": tuple(models.values()) if isinstance(spec.model, tuple) else models["model"],
            }
        )

    def _is_there(self, model: Any, field: str) -> bool:
        return getattr(model, field) in self.elsewhere

    @property
    def plain(self) -> dict[str, Any]:
        """The resolved spec as plain values, with the paths themselves."""
        values: dict[str, Any] = _replaced(self.plan.spec.model_dump(mode="json"), self.elsewhere)
        return values

    @property
    def kinds_elsewhere(self) -> dict[str, str]:
        """What each path that lies on the cluster alone is for: a role of data, or "model" or "prompts"."""
        spec = self.plan.spec
        named = [(source, role) for role in get_args(Role) for source in getattr(spec.data, role)]
        named += [(name, "model") for part in spec.models.values() for name in (part.name, part.tokenizer) if name]
        named += [(spec.reward.model or "", "model"), (spec.reward.prompts, "prompts")]
        return {self.elsewhere[name]: kind for name, kind in named if name in self.elsewhere}


@contextmanager
def resolved(given: str, settings: tuple[str, ...]) -> Iterator[Resolved]:
    """Resolve a spec; within the block its stand-ins are there.

    Raises:
        UserError: a bad spec, or a file of this machine that can't be read.
    """
    with tempfile.TemporaryDirectory(prefix="sft-sweep-") as folder:
        merged = merge_spec(given, settings)
        elsewhere: dict[str, str] = {}
        values = {
            key: _with_stand_ins(part, key, Path(folder).resolve(), elsewhere) if key in PARTS else part
            for key, part in merged.values.items()
        }
        spec = parse_spec(values, merged.beside, merged.origins)
        found = Resolved(plan_sweep(spec), elsewhere)
        look_at_files(found.local)
        yield found


def _with_stand_ins(value: Any, key: str, folder: Path, elsewhere: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_stand_ins(inner, name, folder, elsewhere) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_stand_ins(inner, key, folder, elsewhere) for inner in value]
    if key not in NAMING or not isinstance(value, str) or not value.startswith("/") or _is_here(value):
        return value
    known = next((stand_in for stand_in, path in elsewhere.items() if path == value), None)
    stand_in = known or str(_stand_in(value, folder / str(len(elsewhere))))
    elsewhere[stand_in] = value
    return stand_in


def _is_here(path: str) -> bool:
    return os.path.exists(path) or (is_pattern(path) and bool(matching_files(Path(path))))


def _stand_in(path: str, folder: Path) -> Path:
    """An empty file, or a folder, of the name that a path ends in."""
    name = f"pattern{suffix_of(path) or '.jsonl'}" if is_pattern(path) else Path(path).name
    place = folder / name
    if Path(name).suffix and (suffix_of(name) or Path(name).suffix == ".csv"):
        folder.mkdir()
        place.touch()
        return place
    place.mkdir(parents=True)
    for role in ("train", "test"):  # a folder of data has files of a kind for each
        (place / f"{role}.jsonl").touch()
    return place


def _replaced(value: Any, by: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _replaced(inner, by) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, by) for inner in value]
    return by.get(value, value) if isinstance(value, str) else value
