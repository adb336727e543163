"""What Ray Tune is proposed: the next round only when the last has ended, and replicates of what Optuna chooses."""

from typing import Any

from ray.tune.search import Searcher

from sweep.tune.searchers import ReplicatedSearch, RoundsSearch, SearchThenRounds


def proposal(number: int) -> dict[str, Any]:
    return {"lr": number, "seed": 0}


def test_a_round_begins_when_every_trial_of_the_last_has_ended() -> None:
    search = RoundsSearch([iter([[proposal(1), proposal(2)], [], [proposal(3)]])], iter([]))
    assert search.suggest("a") == proposal(1)
    search.on_trial_complete("a", {})
    assert search.suggest("b") == proposal(2)
    assert search.suggest("c") is None, "b is still running"
    search.on_trial_complete("b", error=True)
    assert search.suggest("c") == proposal(3), "a round without trials is passed over"
    assert search.suggest("d") is None
    search.on_trial_complete("c", {})
    assert search.suggest("d") == Searcher.FINISHED


def test_a_lane_goes_on_whatever_the_others_do_and_what_follows_waits_for_all() -> None:
    lanes = [iter([[proposal(1)], [proposal(2)]]), iter([[proposal(3)]])]
    search = RoundsSearch(lanes, iter([[proposal(4)]]))
    assert [search.suggest(trial) for trial in "abc"] == [proposal(1), proposal(3), None]
    search.on_trial_complete("a", {})
    assert search.suggest("c") == proposal(2), "b of the other lane is still running"
    search.on_trial_complete("c", {})
    assert search.suggest("d") is None
    search.on_trial_complete("b", {})
    assert search.suggest("d") == proposal(4)
    search.on_trial_complete("d", {})
    assert search.suggest("e") == Searcher.FINISHED


class Remembering(Searcher):  # type: ignore[misc]  # Ray has no types
    """Proposes numbers in turn and remembers what it is told."""

    def __init__(self) -> None:
        super().__init__(metric="test_loss", mode="min")
        self.told: list[tuple[str, dict[str, Any] | None, bool]] = []
        self.asked: list[str] = []

    def suggest(self, trial_id: str) -> dict[str, Any]:
        self.asked.append(trial_id)
        return proposal(len(self.asked))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.told.append((trial_id, result, error))


def test_what_a_search_proposes_runs_with_every_seed_and_it_is_told_the_mean() -> None:
    inner = Remembering()
    search = ReplicatedSearch(inner, "test_loss", (5, 6))
    assert [search.suggest(i) for i in "abc"] == [{"lr": 1, "seed": 5}, {"lr": 1, "seed": 6}, {"lr": 2, "seed": 5}]
    assert inner.asked == ["a", "c"]
    search.on_trial_complete("b", {"test_loss": 3.0})
    assert not inner.told, "the other seed is still running"
    search.on_trial_complete("a", {"test_loss": 1.0})
    assert inner.told == [("a", {"test_loss": 2.0}, False)]


def test_a_config_that_failed_with_one_seed_counts_as_failed() -> None:
    inner = Remembering()
    search = ReplicatedSearch(inner, "test_loss", (0, 1))
    for trial in "ab":
        search.suggest(trial)
    search.on_trial_complete("a", {"test_loss": 1.0})
    search.on_trial_complete("b", None, error=True)
    assert inner.told == [("a", None, True)]


def test_what_follows_a_search_begins_when_all_that_it_tried_has_ended_and_it_hears_nothing_of_that() -> None:
    inner = Remembering()
    tried: list[dict[str, Any]] = []

    def following(proposals: list[dict[str, Any]]) -> Any:
        tried.extend(proposals)
        return iter([[proposal(10), proposal(11)]])

    search = SearchThenRounds(inner, 2, following)
    assert [search.suggest(trial) for trial in "abc"] == [proposal(1), proposal(2), None]
    search.on_trial_complete("b", {"validation_loss": 1.0})
    assert search.suggest("c") is None, "a is still running"
    search.on_trial_complete("a", error=True)
    assert [search.suggest(trial) for trial in "cd"] == [proposal(10), proposal(11)]
    assert tried == [proposal(1), proposal(2)]
    for trial in "cd":
        search.on_trial_complete(trial, {"validation_loss": 0.5})
    assert search.suggest("e") == Searcher.FINISHED
    assert [trial for trial, _, _ in inner.told] == ["b", "a"]
