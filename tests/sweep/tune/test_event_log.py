"""The log of events: what it makes of what Ray tells."""

import math
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from basis.outcomes import Ending, Outcome
from basis.stages import Stage
from sweep.memory.device import Device
from sweep.progress.event_file import read_events
from sweep.progress.events import EndEvent, EndState, Event, RowEvent, StartEvent
from sweep.trial.config import TrialConfig
from sweep.tune.event_log import EventLog, device_memory, planned_trials, ranking_losses
from tests.sweep.worker.test_trial_run import config


class Trial(SimpleNamespace):
    """As much of one of Ray's trials as the log looks at."""

    def __init__(self, of: TrialConfig) -> None:
        super().__init__(config=of.model_dump(mode="json"), name=of.name)

    def __str__(self) -> str:
        return str(self.name)


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def log(tmp_path: Path, heard: list[Event]) -> EventLog:
    return EventLog(tmp_path / "events.jsonl", heard.append, print)


def rows_of(log: EventLog, *rows: dict[str, Any]) -> Trial:
    trial = Trial(config())
    log.on_trial_start(1, [], trial)
    for row in rows:
        log.on_trial_result(1, [], trial, row)
    return trial


def test_a_trial_is_told_from_start_to_end(log: EventLog, heard: list[Event], tmp_path: Path) -> None:
    last = {"step": 5, "test_loss": 0.5, "finished": True, "not_judged": "why"}
    log.on_trial_complete(1, [], rows_of(log, last))
    begun, row, ended = heard
    assert isinstance(begun, StartEvent)
    assert (begun.trial, begun.label, begun.steps) == (config().name, config().label, config().steps)
    assert TrialConfig.model_validate(begun.config) == config()
    assert isinstance(row, RowEvent)
    assert (row.step, row.metrics) == (5, {"test_loss": 0.5})
    assert isinstance(ended, EndEvent)
    assert (ended.state, ended.reason) == (EndState.FINISHED, "not judged: why")
    assert read_events(tmp_path / "events.jsonl", 0)[0] == heard


def test_a_row_has_finite_metrics_and_nothing_else(log: EventLog, heard: list[Event]) -> None:
    rows_of(log, {"step": 1, "test_loss": math.nan, "train_loss": 0.5, "node_ip": "10.0.0.1", "config": {"env": "x"}})
    assert isinstance(heard[-1], RowEvent)
    assert heard[-1].metrics == {"train_loss": 0.5}


def test_what_stays_the_same_is_told_once_and_a_loss_always(log: EventLog, heard: list[Event]) -> None:
    row = {"step": 1, "test_loss": 0.5, "weight_bytes": 8, "peak_bytes": 9, "device": "a CPU", "place": "here cpu"}
    rows_of(log, row, {**row, "step": 2, "peak_bytes": 10})
    first, second = [event for event in heard if isinstance(event, RowEvent)]
    assert (first.device, first.place, first.metrics["weight_bytes"]) == ("a CPU", "here cpu", 8)
    assert (second.device, second.place, second.metrics) == ("", "", {"test_loss": 0.5, "peak_bytes": 10})


def test_stopped_failed_and_retried_trials_are_told_apart(log: EventLog, heard: list[Event]) -> None:
    log.on_trial_complete(1, [], rows_of(log, {"step": 1}))
    log.fail(rows_of(log), Ending(Outcome.FAILED, "ValueError: no"), is_retried=True)
    log.fail(rows_of(log), None, is_retried=False)
    ends = [(event.state, event.reason) for event in heard if isinstance(event, EndEvent)]
    assert ends == [("stopped", ""), ("retried", "ValueError: no"), ("failed", "for no reason on record")]


def test_a_reason_tells_no_secret_and_no_home_directory(
    log: EventLog, heard: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("HF_TOKEN", "a-secret-of-mine")
    why = "OSError: /home/somebody/x and /mnt/home/somebody (a-secret-of-mine)"
    log.fail(rows_of(log), Ending(Outcome.FAILED, why), is_retried=False)
    assert isinstance(heard[-1], EndEvent)
    assert heard[-1].reason == "OSError: ~/x and /mnt/home/somebody (***)"
    monkeypatch.setenv("HOME", "/")
    log.fail(rows_of(log), Ending(Outcome.FAILED, "OSError: /x"), is_retried=False)
    assert isinstance(heard[-1], EndEvent)
    assert heard[-1].reason == "OSError: /x"


def test_arms_are_named_as_a_report_names_them_and_tuning_trials_among_themselves() -> None:
    tuning = [config(lr=lr, evaluate_on=Stage.TUNING) for lr in (0.1, 0.2)]
    final = [config(lr=0.1, seed=seed, evaluate_on=Stage.FINAL) for seed in (0, 1)]
    labels = [trial.label for trial in planned_trials([*tuning, *final])]
    short = config().label
    assert labels == [f"{short} lr=0.1", f"{short} lr=0.2", short, short]


def test_trials_that_nobody_planned_are_named_beside_the_others(log: EventLog, heard: list[Event]) -> None:
    for lr in (0.1, 0.2):
        log.on_trial_start(1, [], Trial(config(lr=lr)))
    assert [event.label for event in heard if isinstance(event, StartEvent)] == [
        config().label,
        f"{config().label} lr=0.2",
    ]


def test_losses_by_token_rank_nobody_where_tokens_differ() -> None:
    def inputs(*hashes: tuple[str, str]) -> Any:
        return {
            name: SimpleNamespace(provenance=SimpleNamespace(hashes={"tokenizer": tokenizer, "test_tokens": tokens}))
            for name, (tokenizer, tokens) in enumerate(hashes)
        }

    assert ranking_losses(inputs(("a", "x"))) == ranking_losses(inputs(("a", "x"), ("b", "x")))
    assert ranking_losses(inputs(("a", "x"), ("b", "y"))) == ("test_bits_per_byte",)


def test_a_device_says_its_memory() -> None:
    [cpu] = device_memory(Device("cpu", 7))
    assert (cpu.device, cpu.capacity_bytes) == ("cpu", 7)


def test_ray_may_pickle_it(log: EventLog) -> None:
    assert isinstance(pickle.loads(pickle.dumps(log)), EventLog)
