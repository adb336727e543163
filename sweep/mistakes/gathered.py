"""What is wrong with a spec, gathered and told together."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from basis.errors import SpecError

UNKNOWN, WRONG, MISSING = range(3)
"""The order in which mistakes are told: an unknown key before a missing one, which it may have been meant for."""

MOST_TOLD = 20
"""Of one spec; who has made more will read no further."""


class Mistake(NamedTuple):
    """Something wrong with a spec: `order` is that in which it is told, `text` one line that begins with its key."""

    order: int
    text: str

    @property
    def key(self) -> str:
        """The key that is wrong, such as "space[0].lr"."""
        return self.text.partition(": ")[0]


def mistake(text: str) -> Mistake:
    """A mistake by what is told of it."""
    said = text.partition(": ")[2]
    return Mistake(UNKNOWN if said.startswith("unknown") else MISSING if said.startswith("missing") else WRONG, text)


class Mistakes:
    """The mistakes of one spec, as they are found."""

    def __init__(self, found: Iterable[Mistake] = ()) -> None:
        """Begin with those found so far."""
        self._found = list(found)

    def __iter__(self) -> Iterator[Mistake]:
        return iter(self._found)

    def add(self, text: str) -> None:
        """Note a value that is not accepted; `text` begins with its key."""
        self._found.append(Mistake(WRONG, text))

    def add_all(self, found: Iterable[Mistake]) -> None:
        """Note several, but none of them as missing what is there and wrong."""
        keys = [one.key for one in self._found]
        self._found += [one for one in found if one.order != MISSING or not any(_within(key, one.key) for key in keys)]

    def refuse(self) -> None:
        """Refuse the spec if anything is wrong with it.

        Raises:
            SpecError: what is.
        """
        if self._found:
            raise SpecError(in_order(self._found))


def _within(key: str, other: str) -> bool:
    return key == other or key.startswith((f"{other}.", f"{other}["))


def in_order(found: Iterable[Mistake]) -> list[str]:
    """The texts of mistakes in the order in which they are told, each once, and how many are left out."""
    texts = list(dict.fromkeys(one.text for one in sorted(found, key=lambda one: one.order)))
    left_out = len(texts) - MOST_TOLD
    return [*texts[:MOST_TOLD], f"and {left_out} more mistakes"] if left_out > 1 else texts
