"""Asks a store again that does not answer, for a while."""

import time
from collections.abc import Callable
from typing import TypeVar

from basis.stored.store import StoreError

T = TypeVar("T")

LONGEST_WAIT_SECONDS = 30.0
"""Between two tries while the store is away."""

PATIENCE_SECONDS = 180.0
"""How long what can't go on without the store waits for one that does not answer."""


def patiently(do: Callable[[], T]) -> T:
    """Do something that asks the store, again and again while it is away.

    Raises:
        StoreError: it refuses, or is away for PATIENCE_SECONDS.
    """
    until, wait = time.monotonic() + PATIENCE_SECONDS, 1.0
    while True:
        try:
            return do()
        except StoreError as error:
            if error.is_final or time.monotonic() > until:
                raise
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)
