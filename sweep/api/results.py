"""A sweep's results for a Python session, read from its experiment directory when they are asked for."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from basis.directory import SPEC_FILE
from basis.errors import UserError
from sweep.api.report_page import ReportPage
from sweep.machine.stored_folders import experiment_folder

if TYPE_CHECKING:
    import pandas as pd

    from analysis.results.experiment import Results
    from sweep.winner.choose import Winner


@dataclass(frozen=True)
class SweepResults:
    """The results of a sweep, as `run` and `load_results` return them.

    The directory is read when a frame is first asked for. Of a sweep that runs on, `load_results` reads it anew.

    Attributes:
        directory: the experiment directory, absolute.
    """

    directory: Path

    @cached_property
    def _results(self) -> "Results":
        with _imports_quiet():
            from analysis.results.experiment import read_experiment  # imports pandas and Ray

        return read_experiment(self.directory)

    @property
    def trials(self) -> "pd.DataFrame":
        """One row per trial.

        `trial` (its directory's name), `arm` (label of its configuration without the seed), `outcome`, `reason`, the
        fields of its config such as `method`, `rank` and `lr`, and the last value of each metric, among them
        `test_loss` (nats/token), `peak_bytes` and `reward_mean`. Trials that only served to choose settings are left
        out.
        """
        return self._results.trials

    @property
    def curves(self) -> "pd.DataFrame":
        """One row per trial and step: `trial`, `arm`, `seed` and the metrics reported at that step."""
        return self._results.curves

    @property
    def responses(self) -> "pd.DataFrame":
        """One row per trial and prompt: `trial`, `arm`, `seed`, `index` (from 0), `prompt`, `response`, `reward` and
        the base model's `base_response` and `base_reward`. No rows where nothing was answered.
        """
        return self._results.responses

    def best(self, metric: str | None = None) -> "Winner":
        """The arm that the report ranks first, and which of its trials stands for it.

        Args:
            metric: ranks arms by another metric, such as "reward_mean"; None: by test loss, as the report does.

        Returns:
            The winner: its `arm` (`arm.label`), its `trial` (`trial.folder`, `trial.config`), `why_arm`, `why_seed`.

        Raises:
            UserError: no arm has finished, or none has the metric.
        """
        with _imports_quiet():
            from sweep.winner.choose import choose

        return choose(self.directory, best=metric)

    def report(self) -> ReportPage:
        """Build the report anew; a notebook shows it inline.

        Raises:
            UserError: the directory holds no experiment.
            OSError: a file cannot be read or written, as on a full disk.
        """
        with _imports_quiet():
            from analysis.report import build

        return ReportPage(build(self.directory).html)


@contextmanager
def _imports_quiet() -> Iterator[None]:
    """Keep out of a notebook what Ray and tqdm say while they are imported: that it could have widgets."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def load_results(directory: str | os.PathLike[str]) -> SweepResults:
    """The results of a sweep that has run, or that runs.

    Args:
        directory: the experiment directory, or its address in object storage.

    Raises:
        UserError: it is missing, or holds no experiment.
    """
    with experiment_folder("load_results", os.fspath(directory), weights=False) as path:
        pass  # a stored one has been brought
    if not (path / SPEC_FILE).is_file():
        raise UserError(f"{directory} is not the directory of an experiment: it has no {SPEC_FILE}")
    return SweepResults(path)
