"""What a person can type for a field of a spec, in words, from the field's type."""

import math
from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo

from sweep.trial.part import AcceptedWords

Location = Sequence[int | str]
"""Keys and indices that lead to a value, as pydantic gives them."""

Type = tuple[Any, tuple[Any, ...]]
"""A plain type and its metadata: bounds, and perhaps AcceptedWords."""


def accepted(model: type[BaseModel], location: Location) -> str:
    """What can be typed at a location.

    Args:
        model: a spec, or a part of one.
        location: keys and indices that lead to the value.

    Returns:
        Words such as "a whole number of 1 or more, or null"; "" for a type that has none.
    """
    words = list(dict.fromkeys(map(_words, _types_at(model, location))))
    if not all(words):
        return ""
    null = words.pop(words.index("null")) if "null" in words[:-1] or (len(words) > 1 and words[-1] == "null") else ""
    return f"{_either(words)}, or null" if null else _either(words)


def part_at(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """The part that stands at a location; None where a plain value does."""
    kinds = (kind for kind, _ in _types_at(model, location))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def accepted_keys(model: type[BaseModel], location: Location) -> list[str]:
    """The keys of the mapping at a location; none where a plain value stands."""
    part = part_at(model, location)
    return list(part.model_fields) if part else []


def listed(keys: Sequence[str], letters: int = 150) -> str:
    """Keys joined by commas, as many as there are `letters` for, and the number of the others."""
    text = ", ".join(keys)
    if len(text) <= letters:
        return text
    fitting = [key for count, key in enumerate(keys, 1) if len(", ".join(keys[:count])) <= letters]
    return f"{', '.join(fitting)} and {len(keys) - len(fitting)} more"


def choices(model: type[BaseModel], location: Location) -> list[str]:
    """The names to choose from at a location, or in the list there; none where any value may stand."""
    types = _types_at(model, location)
    types += [inner for outer in types for inner in _within(outer, 0)]
    return [str(name) for kind, _ in types if _origin(kind) is Literal for name in get_args(kind)]


def _types_at(model: type[BaseModel], location: Location) -> list[Type]:
    types: list[Type] = [(model, ())]
    for part in location:
        types = [inner for outer in types for inner in _within(outer, part)]
    return types


def _within(outer: Type, part: int | str) -> Iterator[Type]:
    """The types of what stands at a key or an index of a type."""
    kind, _ = outer
    arguments = get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
        yield from _plain(kind.model_fields[str(part)])
    elif _origin(kind) is tuple and isinstance(part, int):
        yield from _plain(arguments[0] if arguments[-1] is ... else arguments[min(part, len(arguments) - 1)])
    elif _origin(kind) is dict and isinstance(part, str):
        yield from _plain(arguments[1])


def _plain(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[Type]:
    """The plain types of an annotation, one for each alternative of a union, with their metadata."""
    if isinstance(annotation, FieldInfo):
        yield from _plain(annotation.annotation, (*annotation.metadata, *metadata))
    elif _origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        flat = [part for note in notes for part in (note.metadata if isinstance(note, FieldInfo) else [note])]
        yield from _plain(inner, (*flat, *metadata))
    elif _origin(annotation) in (Union, UnionType):
        for option in get_args(annotation):
            yield from _plain(option, metadata)
    else:
        yield annotation, metadata


def _words(plain: Type) -> str:
    kind, metadata = plain
    arguments = get_args(kind)
    if kind is NoneType:
        return "null"
    if told := next((note.words for note in metadata if isinstance(note, AcceptedWords)), ""):
        return told
    if _origin(kind) is Literal:
        return _either([repr(choice) for choice in arguments])
    if _origin(kind) is tuple:
        if arguments[-1] is ...:
            [inner] = _plain(arguments[0])
            words = _words(inner)
            return f"{words}; or a list of such" if inner[0] is str else f"a list of {words}"
        return f"a list of {len(arguments)} numbers, such as [0.9, 0.95]"
    if _origin(kind) is dict or kind is dict:
        return "{key: value, ...}"
    if not isinstance(kind, type):
        return ""
    if issubclass(kind, BaseModel):
        return "{" + ", ".join(f"{field}: ..." for field in kind.model_fields) + "}"
    if kind is bool:
        return "true or false"
    if issubclass(kind, ByteSize):
        return "a size above zero with its unit, such as 6GiB"
    if issubclass(kind, int | float):
        return _number("a whole number" if kind is int else "a number", metadata, whole=kind is int)
    return "text"


def _number(noun: str, metadata: tuple[Any, ...], *, whole: bool) -> str:
    """A number with its bounds, such as "a whole number from 1 to 10"."""
    low = high = ""
    least, most = -math.inf, math.inf
    for note in metadata:
        if isinstance(note, Gt | Ge):
            bound = float(str(note.gt if isinstance(note, Gt) else note.ge))
            least, low = max((least, low), (bound, "above" if isinstance(note, Gt) else "from"))
        elif isinstance(note, Lt | Le):
            bound = float(str(note.lt if isinstance(note, Lt) else note.le))
            most, high = min((most, high), (bound, "below" if isinstance(note, Lt) else "to"))
    if whole:  # whole numbers have a first and a last one
        least, low = (least + 1, "from") if low == "above" else (least, low)
        most, high = (most - 1, "to") if high == "below" else (most, high)
    if low and high:
        return f"{noun} {low} {least:.0f} {'' if high == 'to' else 'and '}{high} {most:.0f}"
    if low == "from":
        return f"{noun} of {least:.0f} or more"
    if low:
        return f"{noun} {low} {least:.0f}"
    return noun


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _origin(annotation: Any) -> Any:
    return get_origin(annotation)  # whose own type leaves out most of what it returns
