"""A trial that does not report is said to hang, once, after as long as the spec says or its own pace suggests."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep.schema.resources import HangPart
from sweep.tune import hang
from sweep.tune.hang import HangWatch

NODE = "6fa1e1487b0a62507829d5f13e9ef78a2962ce347593f37a8e452aa3"
NOTED = json.dumps({"pid": 123, "node_ip": "10.0.0.7", "node_id": NODE}) + "\n"


class Trial(SimpleNamespace):
    """As much of one of Ray's trials as is looked at."""

    RUNNING = "RUNNING"
    trial_id = "1"

    def __str__(self) -> str:
        return "slow"


class Sweep:
    """One trial under watch, and a clock to be moved."""

    def __init__(self, part: HangPart, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[str] = []
        self.watch = HangWatch(part, self.said.append)
        self.trial = Trial(path=str(folder), status="RUNNING")
        self.now = 0.0
        monkeypatch.setattr(hang.time, "monotonic", lambda: self.now)
        self.watch.on_trial_start(iteration=0, trials=[self.trial], trial=self.trial)

    def wait(self, minutes: float) -> list[str]:
        for _ in range(100):
            self.now += 60 * minutes / 100
            self.watch.on_step_end(iteration=0, trials=[self.trial])
        return self.said

    def report(self, **row: float) -> None:
        self.watch.on_trial_result(iteration=0, trials=[], trial=self.trial, result=row)


def test_a_silent_trial_is_said_once_with_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep(HangPart(minutes=5), tmp_path, monkeypatch)
    (tmp_path / "worker.txt").write_text(NOTED)
    assert sweep.wait(4.9) == []
    assert sweep.wait(60) == ["slow hangs? no report for 5.5 min (process 123 on 10.0.0.7)"]
    sweep.report()
    assert len(sweep.wait(60)) == 2
    sweep.trial.status = "PENDING"  # waits for resources, as it may
    sweep.report()
    assert len(sweep.wait(60)) == 2


def test_without_a_limit_its_own_pace_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep(HangPart(), tmp_path, monkeypatch)
    assert sweep.wait(9.9) == []
    sweep.report()
    assert sweep.wait(98) == []  # ten times the longest wait so far
    assert len(sweep.wait(2)) == 1


def test_rows_that_are_replayed_set_the_pace_that_they_were_made_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(HangPart(), tmp_path, monkeypatch)
    for step in range(3):  # a sweep that is continued: three rows within seconds, each of 20 minutes of training
        sweep.now += 1
        sweep.report(train_seconds=1000.0 * step, evaluation_seconds=200.0 * step)
    assert sweep.wait(199) == []
    assert len(sweep.wait(2)) == 1


def test_where_the_spec_asks_for_it_the_process_is_ended_on_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []
    task = SimpleNamespace(options=lambda scheduling_strategy: SimpleNamespace(
        remote=lambda pid: ended.append((scheduling_strategy.node_id, pid))))  # fmt: skip
    monkeypatch.setattr(hang, "_end_process", task)
    sweep = Sweep(HangPart(minutes=1, retry=True), tmp_path, monkeypatch)
    (tmp_path / "worker.txt").write_text(NOTED)
    assert sweep.wait(30) == ["slow hangs: no report for 1.2 min (process 123 on 10.0.0.7); it is ended"]
    assert ended == [(NODE, 123)]
    assert (tmp_path / "worker.txt").read_text().endswith("ended: no report for 1.2 min\n")


def test_trials_are_ended_only_where_the_spec_says_when() -> None:
    with pytest.raises(ValueError, match="minutes: missing; retry: true needs the minutes"):
        HangPart(retry=True)
