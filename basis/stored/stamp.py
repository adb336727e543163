"""How objects of a store are told apart."""

from typing import NamedTuple


class Stamp(NamedTuple):
    """What a listing says of an object: it is another one when one of these is."""

    size: int
    mtime_ns: int
