"""Every key of a spec with what it takes, its default and its meaning, section by section, from the schema itself."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from basis.fields import ADAPTER_FIELDS, LORA_DEFAULTS, OPTIMIZER_DEFAULTS, names_with
from basis.optimizers import OWN
from sweep.mistakes.accepted import accepted, part_at
from sweep.schema.data import STUDY_DATA
from sweep.schema.sweep_spec import SET_BY_THE_SWEEP, SweepSpec
from sweep.trial.config import TrialConfig


class Key(NamedTuple):
    """One key of a spec.

    Attributes:
        name: dotted, such as "reward.temperature"; of a trial's field its name alone, such as "lr".
        accepted: what can be typed for it, in words.
        default: as YAML has it; "required" without one, "" for a part, whose keys have defaults of their own.
        meaning: a sentence or more.
        applies: where it has an effect, if not everywhere.
        group: of a trial's field: "lora" or "trial", the key under which trials share it; "" for all other keys.
    """

    name: str
    accepted: str
    default: str
    meaning: str
    applies: str = ""
    group: str = ""


class Section(NamedTuple):
    """Keys that belong together, as docs/spec.md shows them; `about` is a paragraph of Markdown, or ""."""

    title: str
    about: str
    keys: Sequence[Key]


OF_A_FILE = (
    Key(
        "extends",
        "a preset's name or a YAML file",
        "none",
        "The spec that this one changes. Mappings are merged key by key; all else, lists too, is replaced.",
    ),
    Key(
        "variants",
        "{name: {key: value, ...}, ...}",
        "none",
        "Changes to the spec by name, of which `variant` chooses one.",
    ),
)
"""Keys that are gone once a file has been read, see `load_spec`."""

ABOUT_BRANCHES = (
    "`space` is a list of branches. A branch has fields of a trial and is a grid over its own lists; the sweep is the "
    "union of its branches. Fields of a branch override those of `lora`, and these override those of `trial`. "
    "An *arm* is one combination of values without its seed."
)
ABOUT_TRIALS = "They stand in a branch of `space`, or under `trial` where all trials share them."
ADAPTERS_TITLE = "Fields of a trial with adapters"

ABOUT_LORA = (
    "They stand in a branch of `space`, or under `lora` where all trials with adapters share them: each method takes "
    "from there what it has. In a branch a field that its method does not have is refused; the table of methods below "
    "says which has which."
)


def sections() -> list[Section]:
    """All keys of a spec, in the order of docs/spec.md."""
    lora = [field for field in TrialConfig.model_fields if field in ADAPTER_FIELDS]
    others = [field for field in TrialConfig.model_fields if field not in (*ADAPTER_FIELDS, *SET_BY_THE_SWEEP)]
    return [
        Section("The sweep", "", (*OF_A_FILE, *_top("variant", "name", "about", "published_figures"))),
        _part("model"),
        _part("model", "shape"),
        _part("data"),
        Section("What is tried", ABOUT_BRANCHES, _top("trial", "lora", "space")),
        Section("Fields of a trial", ABOUT_TRIALS, [_of_a_trial(field) for field in others]),
        Section(ADAPTERS_TITLE, ABOUT_LORA, [_of_a_trial(field) for field in lora]),
        Section("How it is tried", "", _top("search", "trials", "choose_on", "metric", "search_seed")),
        Section("`seeds`", "", (*_top("seeds"), *_part("seeds").keys)),
        _part("reward"),
        _part("reward", "judge"),
        _part("resources"),
        _part("memory"),
        Section("Failures", "", _top("max_failures", "checkpoint_seconds")),
        _part("hang"),
        Section("Who is told", "", _top("track", "notify")),
        _part("tables", 0),
    ]


def all_keys() -> list[Key]:
    """All keys of a spec, parts included."""
    inside = [key for section in sections() for key in section.keys]
    known = {key.name for key in inside if not key.group}  # a trial's field may be called as a part
    parts = [_key(SweepSpec, (field,)) for field in SweepSpec.model_fields if field not in known]
    return [*parts, *inside]


def _top(*fields: str) -> list[Key]:
    return [_key(SweepSpec, (field,)) for field in fields]


def _part(*location: str | int) -> Section:
    part = part_at(SweepSpec, location)
    assert part is not None, f"{location} is a part of a spec"
    names = ".".join(name for name in location if isinstance(name, str))
    about = " ".join((part.__doc__ or "").split())
    return Section(f"`{names}`", about, [_key(SweepSpec, (*location, field)) for field in part.model_fields])


def _of_a_trial(field: str) -> Key:
    group = "lora" if field in ADAPTER_FIELDS else "trial"
    return _key(TrialConfig, (field,))._replace(applies=_applies(field), group=group)


def _key(model: type[BaseModel], location: tuple[str | int, ...]) -> Key:
    part = part_at(model, location[:-1]) or model
    name = ".".join(step for step in location if isinstance(step, str))
    field = part.model_fields[str(location[-1])]
    return Key(name, accepted(model, location), _default(name, field), field.description or "")


def _applies(field: str) -> str:
    if field in ADAPTER_FIELDS:
        methods = names_with(field)
        return f"under {'method' if len(methods) == 1 else 'methods'} {', '.join(methods)}"
    optimizers = OPTIMIZER_DEFAULTS.get(field)
    return f"under optimizers {_few(tuple(optimizers))}" if optimizers else ""


def _default(name: str, field: FieldInfo) -> str:
    """The default of a field, as YAML has it; in words where it depends on other fields."""
    if name == "alpha":
        return f"{as_yaml(LORA_DEFAULTS[name])}; see the table of methods"
    if name in LORA_DEFAULTS:
        return as_yaml(LORA_DEFAULTS[name])
    if name == "rank":
        return "required where a method has one"
    if name in OPTIMIZER_DEFAULTS:
        return ", ".join(_by_optimizer(OPTIMIZER_DEFAULTS[name]))
    if name == "name":
        return "the file's name"
    if name == "data.train":
        return f"{STUDY_DATA['train']}, with the study's test and exclude"
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "" if isinstance(default, BaseModel) else as_yaml(default)


def _by_optimizer(defaults: Mapping[str, Any]) -> Iterator[str]:
    """Such as "0.9 under momentum and nesterov"; one text for each value."""
    own = {name: value for name, value in defaults.items() if name in OWN}
    for value in dict.fromkeys(own.values()):
        yield f"{as_yaml(value)} under {' and '.join(name for name in own if own[name] == value)}"
    if len(own) < len(defaults):
        yield "its library's under the others"


def _few(names: Sequence[str]) -> str:
    """PyTorch's own among optimizers, and how many others."""
    own = [name for name in names if name in OWN]
    others = len(names) - len(own)
    return f"{', '.join(own)}{f' and {others} of libraries' if others else ''}"


def as_yaml(value: object) -> str:
    """A plain value as a spec has it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    if isinstance(value, str) and value and "\n" not in value:
        return value
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value)
