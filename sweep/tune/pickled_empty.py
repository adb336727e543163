"""What Ray Tune pickles of a running sweep and never reads again."""

from typing import Any


class PickledEmpty:
    """A search, scheduler, stopper or callback of which a pickle keeps nothing.

    Ray writes them into the experiment now and then. A sweep goes on from what its trials and its record keep, so
    nothing reads those pickles; and iterators, locks and terminals can't be pickled.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Nothing."""
        return {}
