"""What is known of an experiment while it runs, rests, and goes on."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sweep.live.known.analysed import Analysis
from sweep.live.known.analyst import Analyst
from sweep.live.known.experiment import Experiment
from tests.sweep.live.made_up import TRIALS, over, row, run, running, sweep, tell
from tests.sweep.progress.made_up import start


def test_a_sweep_at_rest_takes_no_memory_for_curves_which_grow_on_when_it_does(tmp_path: Path) -> None:
    now = time.time()
    running(tmp_path, now)

    async def story() -> None:
        experiment = Experiment(tmp_path, Analyst(lambda directory, moves: Analysis(), ThreadPoolExecutor(1)))
        await experiment.look()
        assert list(experiment.curves.trial_rows(TRIALS[1].trial)["step"]) == [0, 50]
        tell(tmp_path, over(now, interrupted=3))
        await experiment.look()
        assert experiment.curves.rows().empty
        tell(tmp_path, sweep(now), start(TRIALS[1], now), row(TRIALS[1], now, 75, 3.5))
        await experiment.look()
        assert list(experiment.curves.trial_rows(TRIALS[1].trial)["step"]) == [0, 50, 75]
        assert list(experiment.curves.trial_rows(TRIALS[0].trial)["step"]) == [0, 50, 100]

    run(story())
