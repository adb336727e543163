"""The mistakes of a spec: gathered, put into order and told together."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from basis.errors import SpecError

UNKNOWN, WRONG, MISSING = range(3)
"""Kinds of mistakes, in the order in which they are told: an unknown key may be meant for a missing one."""

MOST_TOLD = 20
"""Mistakes of one spec; the others are only counted."""


class Mistake(NamedTuple):
    """Something wrong with a spec.

    Attributes:
        order: UNKNOWN, WRONG or MISSING.
        text: one line that begins with the key: "space[0].lr: missing".
    """

    order: int
    text: str

    @property
    def key(self) -> str:
        """The key that is wrong, such as "space[0].lr"."""
        return self.text.partition(": ")[0]


def mistake(text: str) -> Mistake:
    """A mistake from its text, which tells the kind."""
    said = text.partition(": ")[2]
    return Mistake(UNKNOWN if said.startswith("unknown") else MISSING if said.startswith("missing") else WRONG, text)


class Mistakes:
    """A list of mistakes that grows while a spec is checked."""

    def __init__(self, found: Iterable[Mistake] = ()) -> None:
        """Begin with the mistakes found so far."""
        self._found = list(found)

    def __iter__(self) -> Iterator[Mistake]:
        return iter(self._found)

    def add(self, text: str) -> None:
        """Add a value that is not accepted; `text` begins with its key."""
        self._found.append(Mistake(WRONG, text))

    def add_all(self, found: Iterable[Mistake]) -> None:
        """Add several, but no missing key that is there and wrong."""
        keys = [known.key for known in self._found]
        self._found += [new for new in found if new.order != MISSING or not any(_within(key, new.key) for key in keys)]

    def refuse(self) -> None:
        """Refuse the spec if anything is wrong with it.

        Raises:
            SpecError: all mistakes, in order.
        """
        if self._found:
            raise SpecError(_in_order(self._found))


def _within(key: str, other: str) -> bool:
    return key == other or key.startswith((f"{other}.", f"{other}["))


def _in_order(found: Iterable[Mistake]) -> list[str]:
    """The texts of mistakes in their order, each once; of those beyond MOST_TOLD only the number."""
    texts = list(dict.fromkeys(mistake.text for mistake in sorted(found, key=lambda mistake: mistake.order)))
    left_out = len(texts) - MOST_TOLD
    return [*texts[:MOST_TOLD], f"and {left_out} more mistakes"] if left_out > 1 else texts
