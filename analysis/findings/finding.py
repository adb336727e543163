"""What a report shows in words, one topic each. Imports nothing, so that it is soon told again."""

from typing import NamedTuple


class Finding(NamedTuple):
    """A few sentences under a short heading."""

    topic: str
    sentences: list[str]
