"""An experiment that pages look at: what has happened in it by now, and what its report says."""

import asyncio
import time
from pathlib import Path

from basis.directory import EVENTS_FILE
from basis.stored.address import Address
from sweep.live.known.analysed import Analysis
from sweep.live.known.analyst import REST, Analyst
from sweep.live.known.experiment_state import ExperimentState, Stage, state_by_events, state_by_files
from sweep.live.known.folder import stamp_of
from sweep.live.known.growing_curves import GrowingCurves
from sweep.live.known.parts import Parts
from sweep.progress.event_file import first_bytes, read_events
from sweep.progress.events import EndEvent, EndState, Event, RowEvent, StartEvent
from sweep.progress.progress import Progress
from sweep.storage.claim import is_claimed

READ_BYTES = 2**21
"""Of the events, at once: some ten thousand of them, a tenth of a second."""


class Experiment:
    """What is known of an experiment, read on as it goes on.

    Attributes:
        directory: where it lies.
        place: the address at which it is stored; None: `directory` alone has it.
        progress: what its events say.
        curves: of its arms, from its events.
        parts: the pieces of its page.
        state: how far it is, as of the last look.
        damaged_lines: how many lines of its events could not be read.
        is_read: whether all events that were there have been read.
        first_curves: the section of its curves as it was first drawn, while its sweep runs.
    """

    def __init__(self, directory: Path, analyst: Analyst, place: Address | None = None) -> None:
        """Nothing has been read yet."""
        self.directory, self.place = directory, place
        self._analyst = analyst
        self._looks = asyncio.Lock()
        self.parts = Parts()
        self.state = ExperimentState(Stage.BEGINNING)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.progress = Progress()
        self.curves = GrowingCurves()
        self.damaged_lines = 0
        self.is_read = False
        self.first_curves = ""
        self._offset = 0
        self._start = b""
        self._has_rested = False
        self._last_event: float | None = None
        self._drawn_until = 0.0

    @property
    def analysis(self) -> Analysis | None:
        """What its report said when there was time last to work it out; None before the first time."""
        return self._analyst.newest(self.directory)

    @property
    def is_being_analysed(self) -> bool:
        """Whether its report is being worked out."""
        return self._analyst.works_on(self.directory)

    async def look(self, analysed: bool = True) -> None:
        """Read what has been written since the last look, and have it analysed if its report would say more."""
        async with self._looks:
            state = await asyncio.to_thread(self._read_on)
            if self._has_rested and state.moves:  # it is continued, and its curves grow on
                self._begin_anew()
                state = await asyncio.to_thread(self._read_on)
            if self.is_read and state.stage in (Stage.FINISHED, Stage.INTERRUPTED):
                self.curves, self._has_rested = GrowingCurves(), True  # which the report has, and a server keeps not
            worth_it = state.done > 0 or not state.moves
            if analysed and worth_it and state.stage != Stage.GONE and self.is_read:
                self._analyst.want(self.directory, self._content(state), state.moves)

    def _read_on(self) -> ExperimentState:
        """Read what is new, and find out how far the experiment is by now."""
        self._take_in(self._read())
        self.state = self._state()
        if self.state.moves:
            self._draw()
        return self.state

    def _state(self) -> ExperimentState:
        now = time.time()
        named = self.place.typed if self.place else self.directory.name  # a page tells no path of the machine
        if self._last_event is None or not self.directory.is_dir():
            return state_by_files(self.directory, named, now)
        pid = self.progress.pid if self.place is None or is_claimed(self.directory) else None
        return state_by_events(named, self.progress, pid, self._last_event, now)

    def _read(self) -> list[Event]:
        path = self.directory / EVENTS_FILE
        if path.exists() and not path.is_file():  # such as a pipe, which would be waited for
            self.is_read = True
            return []
        try:
            size = path.stat().st_size
            start = first_bytes(path)
        except OSError:
            size, start = 0, b""
        if size < self._offset or not start.startswith(self._start):  # the file is another one
            self._begin_anew()
        self._start = start
        try:
            events, self._offset, damaged = read_events(path, self._offset, READ_BYTES)
        except OSError:  # such as a disk that is not mounted any more
            self.is_read = True
            return []
        self.damaged_lines += damaged
        self.is_read = self._offset >= size or not events
        return events

    def _take_in(self, events: list[Event]) -> None:
        for event in events:
            self.progress.add(event)
            match event:
                case StartEvent():
                    self.curves.start(event.trial, event.label)
                case RowEvent():
                    self.curves.add(event.trial, event.step, event.metrics)
                case EndEvent(state=EndState.FAILED):
                    self.curves.drop(event.trial)
        if events:
            self._last_event = max(events[-1].time, self._last_event or 0.0)

    def _draw(self) -> None:
        """Work the curves out, a fifth of the time at most; what comes meanwhile waits for the next look."""
        began = time.monotonic()
        if began < self._drawn_until or not self.is_read:
            return
        if self.curves.refresh(self.parts.number + 1):
            self.parts.number += 1
        ended = time.monotonic()
        self._drawn_until = ended + REST * (ended - began)

    def _content(self, state: ExperimentState) -> object:
        """Equal while a report would say the same: trials that have ended, or the files where no event says so."""
        if state.moves and self._last_event is not None:
            return state.stage, state.done
        try:
            return stamp_of(self.directory)
        except OSError:
            return None
