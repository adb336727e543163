"""The time that training takes from one row of metrics to the next."""

import time


class RowClock:
    """Times the training up to a row, without what comes between its steps.

    Attributes:
        timed_steps: taken since speed was last timed from here.
    """

    def __init__(self) -> None:
        self._lap_began = time.perf_counter()
        self._seconds = self._untimed_seconds = 0.0
        self.timed_steps = 0

    def lap(self) -> float:
        """The seconds since the last lap."""
        now = time.perf_counter()
        seconds = now - self._lap_began
        self._seconds, self._lap_began = self._seconds + seconds, now
        return seconds

    def go_on(self) -> None:
        """What came since the last lap is not timed."""
        self._lap_began = time.perf_counter()

    def time_from_here(self) -> None:
        """The speed is taken from the steps that follow."""
        self._untimed_seconds, self.timed_steps = self._seconds + time.perf_counter() - self._lap_began, 0

    def step_seconds(self, steps: int) -> float:
        """Seconds for each timed step up to the last lap, or for each of all `steps` where none was timed."""
        return (self._seconds - self._untimed_seconds) / self.timed_steps if self.timed_steps else self._seconds / steps
