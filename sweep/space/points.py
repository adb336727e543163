"""Points of a space: every combination of listed values, random draws, or an even spread over ranges."""

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sweep.space.branches import Branch, Choice, Range


class Point(NamedTuple):
    """A value for each field of a branch.

    Attributes:
        branch: the branch's index in the spec's `space`.
        values: by field.
    """

    branch: int
    values: dict[str, Any]


def product(values: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Every combination of the listed values, the last field's changing fastest."""
    return (dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values()))


def random_points(branches: Mapping[int, Branch], count: int, seed: int) -> Iterator[Point]:
    """So many draws: first a branch, then a value for each of its fields."""
    draw = random.Random(seed)
    for _ in range(count):
        index = draw.randrange(len(branches))
        yield Point(index, {field: _draw(choice, draw) for field, choice in branches[index].items()})


def spread(ranges: Mapping[str, Range], count: int, seed: int) -> list[dict[str, Any]]:
    """So many points that cover the ranges evenly.

    One range is covered from end to end in equal steps, several by a Halton sequence. Without a range there is one
    empty point.
    """
    if not ranges:
        return [{}]
    if len(ranges) == 1:
        shares = [[i / (count - 1)] for i in range(count)] if count > 1 else [[0.5]]
    else:
        from scipy.stats import qmc  # half a second, which plain questions need not wait for

        shares = qmc.Halton(len(ranges), rng=seed).random(count).tolist()
    return [
        {field: span.at(share) for (field, span), share in zip(ranges.items(), point, strict=True)} for point in shares
    ]


def _draw(choice: Choice, draw: random.Random) -> Any:
    if not isinstance(choice, Range):
        return draw.choice(choice)
    if choice.whole and not choice.log:
        return draw.randint(int(choice.low), int(choice.high))
    return choice.at(draw.random())
