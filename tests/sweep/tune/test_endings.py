"""The end of Ray Tune's loop is left before Ray reads all rows once more, and never at the cost of what went wrong."""

import pytest

from sweep.tune.endings import LeaveAtEnd, TrialsOver, faults_of_ray_told


def test_a_sweep_that_is_over_is_left() -> None:
    with pytest.raises(TrialsOver), faults_of_ray_told():
        LeaveAtEnd().on_experiment_end([])


def test_what_has_failed_is_what_is_told() -> None:
    """Ray ends its callbacks while it handles what has failed."""

    def fail() -> None:
        try:
            raise ValueError("a search that is broken")
        except Exception:
            LeaveAtEnd().on_experiment_end([])
            raise

    with pytest.raises(ValueError, match="a search that is broken"):
        fail()
