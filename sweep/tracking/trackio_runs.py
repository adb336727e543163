"""Runs of Trackio: where its environment variables say, or else in the experiment's own folder."""

import contextvars
import os
import warnings
from collections.abc import Sequence
from typing import Any

from sweep.tracking.sent import SentTrial
from sweep.tracking.tracker import Place, RunToOpen
from sweep.tracking.trials import Ended, Numbers, TrackedRow

ELSEWHERE = ("TRACKIO_DIR", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")
"""Variables by which a user says where runs are kept."""


class TrackioRuns:
    """A run of Trackio for each trial, opened for each batch of rows: only its `finish` waits until they are kept."""

    def __init__(self, place: Place) -> None:
        """Find where runs are kept."""
        if not any(os.environ.get(name) for name in ELSEWHERE):
            place.folder.mkdir(exist_ok=True)
            os.environ["TRACKIO_DIR"] = str(place.folder / "trackio")
        import trackio  # reads the variable as it is imported

        self._trackio = trackio
        self._project = os.environ.get("TRACKIO_PROJECT") or place.sweep
        self._runs: dict[str, RunToOpen] = {}

    def open(self, run: RunToOpen, sent: SentTrial | None) -> SentTrial:
        """See `Tracker`. A trial's name is that of its run."""
        self._runs[run.name] = run
        return sent or SentTrial(run.name)

    def log(self, sent: SentTrial, rows: Sequence[TrackedRow]) -> None:
        """See `Tracker`."""
        if rows:
            self._keep(self._runs[sent.run], [(row.step, dict(row.metrics)) for row in rows])

    def end(self, sent: SentTrial, ended: Ended | None, final: Numbers, news: Numbers) -> None:
        """See `Tracker`. Trackio has no status: the last step gets `outcome`."""
        run = self._runs.pop(sent.run)
        if ended is not None:
            self._keep(run, [(max(sent.step, 0), {**news, "outcome": ended.outcome.value, "reason": ended.reason})])

    def _keep(self, run: RunToOpen, rows: Sequence[tuple[int, dict[str, Any]]]) -> None:
        with warnings.catch_warnings(record=True) as caught:  # by which Trackio tells of all that goes wrong
            warnings.simplefilter("always")
            # in a context of its own, or else Trackio would end the run that it has opened last
            contextvars.copy_context().run(self._write, run, rows)
        if caught:
            raise RuntimeError(str(caught[-1].message))

    def _write(self, run: RunToOpen, rows: Sequence[tuple[int, dict[str, Any]]]) -> None:
        config = {**run.params, **run.tags}
        opened = self._trackio.init(
            self._project,
            name=run.name,
            group=run.label,
            config=config,
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        for step, metrics in rows:
            opened.log(metrics, step=step)
        opened.finish()
