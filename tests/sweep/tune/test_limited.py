"""A sweep that may take only so much at once proposes no trial for which there is no room."""

from typing import Any

from ray.tune.search import Searcher

from sweep.schema.limits import Limits
from sweep.tune.limited import LimitedSearch
from sweep.tune.searchers import RoundsSearch


def limited(shares: list[float], **limits: Any) -> LimitedSearch:
    """Trials that hold so much of a GPU each, in one round."""
    trials: list[dict[str, Any]] = [{"gpu": share} for share in shares]
    return LimitedSearch(RoundsSearch([iter([trials])], iter([])), Limits(**limits), lambda trial: float(trial["gpu"]))


def test_so_many_trials_run_at_once_and_the_next_when_one_has_ended() -> None:
    search = limited([0, 0, 0], trials=2)
    assert [search.suggest(name) for name in "abc"] == [{"gpu": 0}, {"gpu": 0}, None]
    search.on_trial_complete("a", {})
    assert search.suggest("d") == {"gpu": 0}
    for name in "bd":
        search.on_trial_complete(name, {})
    assert search.suggest("e") == Searcher.FINISHED


def test_trials_hold_so_many_gpus_at_once_and_none_is_passed_over() -> None:
    search = limited([0.1] * 10 + [1, 0.25], gpus=1)
    assert [search.suggest(str(number)) for number in range(11)] == [{"gpu": 0.1}] * 10 + [None]
    for number in range(9):
        search.on_trial_complete(str(number), {})
    assert search.suggest("11") is None, "a tenth is held, and the next wants all of it"
    search.on_trial_complete("9", error=True)
    assert search.suggest("12") == {"gpu": 1}
    search.on_trial_complete("12", {})
    assert search.suggest("13") == {"gpu": 0.25}
    search.on_trial_complete("13", {})
    assert search.suggest("14") == Searcher.FINISHED


def test_without_limits_all_are_proposed() -> None:
    search = limited([1, 1, 1])
    assert None not in [search.suggest(name) for name in "abc"]
