"""Where each value of a merged spec was given: a mistake is told with its line, or its --set."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from basis.errors import MOST_LETTERS, SpecError, one_line, shortened
from sweep.spec_file.read_yaml import Location

Origins = dict[Location, str]
"""By the location of a value: "mine.yaml, line 3", or "--set trial.steps"."""


def locations(value: Any, location: Location) -> Iterator[Location]:
    """The location of a value, and of all values within it."""
    yield location
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from locations(inner, (*location, key))


def overridden(below: Origins, above: Origins) -> Origins:
    """The origins of merged values: those of `above`, and those of `below` that no list or plain value replaces."""
    mappings = {location[:-1] for location in above if location and isinstance(location[-1], str)}
    replaced = above.keys() - mappings

    def is_replaced(location: Location) -> bool:
        """Whether a value lies within one that `above` replaces; a mapping replaces a list, too."""
        return any(
            location[:length] in replaced or (location[:length] in above and isinstance(location[length], int))
            for length in range(1, len(location))
        )

    return {location: origin for location, origin in below.items() if not is_replaced(location)} | above


@contextmanager
def placed(origins: Mapping[Location, str] | None) -> Iterator[None]:
    """Within, a SpecError gets behind each mistake the place where its key was given.

    A missing key has no place. It gets that of the mapping which lacks it.

    Args:
        origins: the places; None where nobody knows them.

    Raises:
        SpecError: the same mistakes, with their places.
    """
    try:
        yield
    except SpecError as error:
        raise SpecError([_with_place(text, origins or {}) for text in error.messages]) from None


def _with_place(message: str, origins: Mapping[Location, str]) -> str:
    """A mistake with its place. Its text begins with its key, such as "space[0].lr: missing"."""
    parts = re.findall(r"\[([0-9]+)\]|([^.\[\]]+)", message.partition(": ")[0])
    location: Location = tuple(int(index) if index else name for index, name in parts)
    alone = tuple(part for part in location if part != 0)  # one value may stand for a list of one
    if location not in origins and alone in origins:
        location = alone
    while location and location not in origins:
        location = location[:-1]
    place = f" ({origins[location]})" if location else ""
    return shortened(one_line(message), MOST_LETTERS - len(place)) + place
