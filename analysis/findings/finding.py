"""What a report shows in words, one topic each. Imports no pandas, so that a kept screen is read at once."""

from typing import NamedTuple


class Finding(NamedTuple):
    """A few sentences under a short heading."""

    topic: str
    sentences: list[str]
