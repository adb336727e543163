"""Trials that had finished before a sweep went on: they are counted and told, and Ray never hears of them.

To start a trial costs Ray a tenth of a second, which a sweep of 10,000 finished trials would wait for a quarter of an
hour. A report reads them from their directories.
"""

from collections.abc import Mapping

from analysis.results.files import read_rows
from basis.directory import EVENTS_FILE, FINISHED_FILE, RESULT_FILE
from basis.metrics import Row
from sweep.inputs import SweepInputs
from sweep.progress.event_file import told_finished
from sweep.proposal import Proposal
from sweep.tune.endings import Endings
from sweep.tune.event_log import EventLog
from sweep.worker.opening import Complete, recorded_state


class Past:
    """What earlier starts of a sweep have finished. Their directories are whole: see `sweep.storage.healing`."""

    def __init__(self, inputs: Mapping[str | None, SweepInputs], log: EventLog, endings: Endings) -> None:
        """Look which trials have finished.

        Args:
            inputs: what the sweep's trials share, by what they say of their base model.
            log: records each trial that is passed by, from its start to its end.
            endings: counts them.
        """
        self._inputs, self._log, self._endings = inputs, log, endings
        experiment_dir = next(iter(inputs.values())).experiment_dir
        self._finished = {path.parent.name for path in experiment_dir.glob(f"*/{FINISHED_FILE}")}
        try:
            self._told = told_finished(experiment_dir / EVENTS_FILE) if self._finished else {}
        except OSError:  # the log says so when it writes there
            self._told = {}

    @property
    def finished(self) -> int:
        """How many trials are left that had finished."""
        return len(self._finished)

    def pass_by(self, proposal: Proposal) -> Row | None:
        """The last row of a trial that needs no run, which is told now; None: it has to run, so that Ray has its rows.

        A trial that is proposed twice is passed by once: the second stands for a trial of its own.
        """
        config = proposal.config
        if config.name not in self._finished:
            return None
        self._finished.discard(config.name)
        inputs = self._inputs[config.model]
        folder = inputs.experiment_dir / config.name
        state = recorded_state(folder, inputs)
        if not isinstance(state, Complete) or state.base_answers_damaged:
            return None
        steps = [row.get("step") for row in read_rows(folder / RESULT_FILE)]
        if steps != [row["step"] for row in state.rows]:  # Ray's copy is damaged, or its driver was killed
            return None
        ended = self._told.get(config.name)
        is_told = ended is not None and (folder / FINISHED_FILE).stat().st_mtime <= ended  # and not judged anew since
        self._log.record_past(proposal, state.rows, is_told=is_told)
        self._endings.count_past(config.name, state.rows[-1])
        return state.rows[-1]
