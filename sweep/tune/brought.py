"""Brings what a trial has stored, before anybody hears that it has ended."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ray import tune

from basis.errors import UserError
from sweep.tune.pickled_empty import PickledEmpty


class BringTrials(PickledEmpty, tune.Callback):  # type: ignore[misc]  # Ray has no types
    """The first of a sweep's callbacks, so that the others find a trial's files in the experiment directory."""

    def __init__(self, bring: Callable[[str], None], tell: Callable[[str], None]) -> None:
        """Nothing is brought yet.

        Args:
            bring: brings the files of a trial into the driver's copy; raises a UserError where it can't.
            tell: prints a line for the user.
        """
        self._bring, self._tell = bring, tell
        self._running: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial starts, or starts again after a failure."""
        self._running.add(str(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has ended. What comes next may be chosen by its losses, so there is no going on without them."""
        self._running.discard(str(trial))
        self._bring(str(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has failed for good."""
        self._running.discard(str(trial))
        self._bring_why(str(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has failed and will be started again."""
        self._bring_why(str(trial))

    def _bring_why(self, trial: str) -> None:
        try:
            self._bring(trial)
        except UserError as error:  # Ray has a text of its own
            self._tell(f"{trial}: why it failed can't be read ({error})")

    def bring_running(self) -> None:
        """The sweep is over: bring what trials have stored that have not ended, for its report."""
        for trial in sorted(self._running):
            with suppress(UserError):  # the report then knows less of it, and says so
                self._bring(trial)
