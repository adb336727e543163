"""A search that requests steer: trials in front of its own, skipped ones, and when it is at its end."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray import tune
from ray.tune.search import Searcher

from basis.directory import SPEC_FILE
from sweep.search_space import SweepPlan
from sweep.spec_file.load import load_kept_plan
from sweep.steering.ask import ask
from sweep.steering.desk import Desk
from sweep.steering.request import Request
from sweep.storage.claim import claimed
from sweep.trial.config import TrialConfig
from sweep.tune.control import RequestsFirst, SteeredSearch, StopAsAsked
from sweep.tune.searchers import ReplicatedSearch, RoundsSearch
from tests.sweep.steering.test_desk import SPEC
from tests.sweep.tune.test_searchers import Remembering

LR = "lr"


def ray_config(trial: TrialConfig) -> dict[str, Any]:
    return trial.model_dump(mode="json")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / SPEC_FILE).write_text(yaml.safe_dump(SPEC))
    with claimed(tmp_path):
        yield tmp_path


def opened(running: Path) -> tuple[SweepPlan, Desk, SteeredSearch]:
    """The sweep of two arms, one of them after the other, as it begins or goes on."""
    plan = load_kept_plan(running)
    desk = Desk(running, plan, ray_config, lambda _: None)
    lane = iter([[ray_config(trial)] for trial in plan.candidates])
    return plan, desk, SteeredSearch(RoundsSearch([lane], iter([])), desk)


@dataclass
class WaitingTrial:
    """As much of a trial of Ray as a scheduler looks at."""

    name: str
    status: str = "PENDING"
    PENDING = "PENDING"

    @property
    def trial_id(self) -> str:
        return self.name

    def is_finished(self) -> bool:
        return self.status == "TERMINATED"

    def __str__(self) -> str:
        return self.name


class Rates(Remembering):
    """Proposes an arm at the learning rates 1, 2 and so on."""

    def __init__(self, arm: TrialConfig) -> None:
        super().__init__()
        self._arm = ray_config(arm)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return {**self._arm, LR: super().suggest(trial_id)[LR]}


def test_what_is_added_goes_first_and_a_sweep_that_waits_for_its_last_trial_still_takes_it(running: Path) -> None:
    plan, desk, search = opened(running)
    full, lora = plan.candidates
    assert search.suggest("a") == ray_config(full)
    ask(running, Request("clone", "command", full.name, {LR: 3e-4}))
    desk.take()
    assert search.suggest("b") == {**ray_config(full), LR: 3e-4}
    assert search.suggest("c") is None, "the lane waits for its first round"
    search.on_trial_complete("a", {})
    assert search.suggest("c") == ray_config(lora)
    search.on_trial_complete("b", {})
    assert search.suggest("d") is None
    search.on_trial_complete("c", {})
    ask(running, Request("seeds", "command", full.name, seeds=1))
    assert search.suggest("d") == {**ray_config(full), "seed": 1}, "it looks once more before it ends"
    assert search.suggest("e") is None
    search.on_trial_complete("d", error=True)
    assert search.suggest("e") == Searcher.FINISHED
    assert (search.proposed, search.exhausted) == (4, True)


def test_what_was_stopped_is_not_proposed_and_what_was_added_is_proposed_again_when_a_sweep_goes_on(
    running: Path,
) -> None:
    plan, desk, search = opened(running)
    full, lora = plan.candidates
    assert search.suggest("a") == ray_config(full)
    stops = StopAsAsked(desk)
    result = {"config": ray_config(full)}
    assert not stops("a", result)
    ask(running, Request("clone", "command", full.name, {LR: 3e-4}))
    ask(running, Request("stop", "page", full.name))
    desk.take()
    assert stops("a", result)
    assert not stops("b", {"config": ray_config(lora)})

    _, _, resumed = opened(running)
    assert resumed.suggest("a") == {**ray_config(full), LR: 3e-4}
    assert resumed.suggest("b") == ray_config(lora), "the stopped one's round counts as ended"
    resumed.on_trial_complete("a", {})
    resumed.on_trial_complete("b", {})
    assert resumed.suggest("c") == Searcher.FINISHED
    assert resumed.proposed == 2


def test_a_trial_that_is_started_again_is_proposed_once_whether_or_not_its_turn_has_come(running: Path) -> None:
    plan, desk, search = opened(running)
    full, lora = plan.candidates
    assert search.suggest("a") == ray_config(full)
    for trial in (full, lora):
        ask(running, Request("stop", "command", trial.name))
        desk.take(at_once=True)
        ask(running, Request("start", "command", trial.name))
        desk.take(at_once=True)
    assert search.suggest("b") == ray_config(full)
    search.on_trial_complete("a", {})
    assert search.suggest("c") == ray_config(lora)
    for trial_id in "bc":
        search.on_trial_complete(trial_id, {})
    assert search.suggest("d") == Searcher.FINISHED


def test_a_search_is_asked_for_so_many_trials_and_hears_of_no_others(running: Path) -> None:
    plan, desk, _ = opened(running)
    full, _ = plan.candidates
    inner = Rates(full)
    search = SteeredSearch(ReplicatedSearch(inner, "test_loss", (0, 1)), desk, most=2)
    ask(running, Request("clone", "command", full.name, {LR: 3e-4}))
    desk.take()
    assert [(search.suggest(trial) or {}).get(LR) for trial in "abc"] == [3e-4, 1, 1]
    assert search.suggest("d") is None
    for trial, loss in (("a", 9.0), ("b", 1.0), ("c", 2.0)):
        search.on_trial_complete(trial, {"test_loss": loss, "finished": True})
    assert [result for _, result, _ in inner.told] == [{"test_loss": 1.5}]
    assert search.suggest("d") == Searcher.FINISHED


def test_what_was_added_starts_before_trials_that_wait_already(running: Path) -> None:
    plan, desk, _ = opened(running)
    full, lora = plan.candidates
    first = RequestsFirst(desk, tune.PlacementGroupFactory([{"CPU": 1}]))
    waiting = [WaitingTrial(trial.name) for trial in (full, lora)]
    for trial in waiting:
        first.on_trial_add(None, trial)
    assert first.choose_trial_to_run(None) is waiting[0]
    waiting[0].status = "RUNNING"
    assert first.choose_trial_to_run(None) is waiting[1]
    waiting[0].status = "PENDING"  # it has failed, and is tried again
    assert first.choose_trial_to_run(None) is waiting[0]
    waiting[0].status = "TERMINATED"
    assert first.choose_trial_to_run(None) is waiting[1]
    ask(running, Request("clone", "command", full.name, {LR: 3e-4}))
    desk.take()
    added = WaitingTrial(*desk.made)
    first.on_trial_add(None, added)
    assert first.choose_trial_to_run(None) is added


def test_a_search_hears_no_early_loss_of_a_trial_that_was_stopped(running: Path) -> None:
    plan, desk, _ = opened(running)
    inner = Rates(plan.candidates[0])
    search = SteeredSearch(inner, desk, most=1)
    search.suggest("a")
    search.on_trial_complete("a", {"test_loss": 9.0})
    assert [(result, error) for _, result, error in inner.told] == [(None, True)]


def test_a_trial_that_needs_no_run_counts_and_its_search_hears_its_loss(running: Path) -> None:
    plan, desk, _ = opened(running)
    inner = Rates(plan.candidates[0])
    row = {"test_loss": 1.5, "finished": True}
    search = SteeredSearch(inner, desk, most=3, pass_by=lambda proposal: row if proposal.config.lr < 3 else None)
    proposal = search.suggest("a")
    assert isinstance(proposal, dict)
    assert proposal[LR] == 3
    assert [(result, error) for _, result, error in inner.told] == [(row, False), (row, False)]
    search.on_trial_complete("a", {"test_loss": 1.0, "finished": True})
    assert search.suggest("b") == Searcher.FINISHED
    assert search.proposed == 3
