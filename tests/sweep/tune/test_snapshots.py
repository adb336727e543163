"""Ray's own list of trials: it is written less often where it is long, and no finished trial hangs on it."""

import pytest

from sweep.tune.tuning import SNAPSHOT_SECONDS, snapshot_seconds


@pytest.mark.parametrize(("trials", "seconds"), [(1, SNAPSHOT_SECONDS), (100, 10.0), (1000, 100.0), (10_000, 1000.0)])
def test_the_list_of_all_trials_is_written_less_often_the_longer_it_is(trials: int, seconds: float) -> None:
    assert snapshot_seconds(trials) == seconds
