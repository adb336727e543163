"""What earlier starts of a sweep have finished is told and counted without a run; all else has to run."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

from basis.directory import FINISHED_FILE, RESULT_FILE
from basis.metrics import NOT_JUDGED, Row
from sweep.inputs import SweepInputs
from sweep.progress.event_file import read_events
from sweep.progress.events import EndEvent, EndState, Event, RowEvent, StartEvent
from sweep.progress.progress import fold
from sweep.proposal import Proposal
from sweep.trial.config import TrialConfig
from sweep.tune.endings import Endings
from sweep.tune.event_log import EventLog
from sweep.tune.past import Past
from sweep.worker.opening import open_trial
from tests.sweep.worker.test_trial_run import config, finish


def unheard(event: Event) -> None:
    raise AssertionError(f"{event}: what has happened before is no news")


def past_of(inputs: SweepInputs) -> tuple[Past, Endings, list[Event]]:
    """As a sweep has it that goes on, with what it tells."""
    told: list[Event] = []
    log = EventLog(inputs.experiment_dir / "events.jsonl", unheard, lambda line: None, told.append)
    endings = Endings(log)
    return Past({None: inputs}, log, endings), endings, told


def finished_path(inputs: SweepInputs, trial: TrialConfig) -> Path:
    return inputs.experiment_dir / trial.name / FINISHED_FILE


def finish_under_ray(trial: TrialConfig, inputs: SweepInputs) -> list[Row]:
    """Run a trial to its end; Ray keeps its rows in a file of its own."""
    rows = finish(open_trial(trial, inputs))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (inputs.experiment_dir / trial.name / RESULT_FILE).write_text(lines, encoding="utf-8")
    return rows


def test_a_trial_of_which_ray_has_not_kept_all_rows_hands_them_to_ray_again(inputs: SweepInputs) -> None:
    trial = config()
    finish_under_ray(trial, inputs)
    path = inputs.experiment_dir / trial.name / RESULT_FILE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    past, _, told = past_of(inputs)
    assert past.pass_by(Proposal(trial)) is None
    assert not told


def test_a_finished_trial_is_told_from_start_to_end_and_counted_once(inputs: SweepInputs) -> None:
    trial, other = config(), config(seed=1)
    rows = finish_under_ray(trial, inputs)
    past, endings, told = past_of(inputs)
    assert past.pass_by(Proposal(other)) is None
    assert not told
    row = past.pass_by(Proposal(trial))
    assert row is not None
    assert row["test_loss"] == rows[-1]["test_loss"]
    assert [type(event) for event in told] == [StartEvent, *[RowEvent] * len(rows), EndEvent]
    assert isinstance(told[-1], EndEvent)
    assert (told[-1].trial, told[-1].state) == (trial.name, EndState.FINISHED)
    assert endings.counts(begun=1, is_exhausted=True, disk=None).finished == 1
    assert past.pass_by(Proposal(trial)) is None, "a search may propose it twice, and the second is a trial of its own"


def test_what_the_events_tell_already_is_not_written_again(inputs: SweepInputs) -> None:
    trial = config()
    rows = finish_under_ray(trial, inputs)
    events = inputs.experiment_dir / "events.jsonl"
    past_of(inputs)[0].pass_by(Proposal(trial))  # as after a driver that was killed before it wrote them
    written = events.read_bytes()
    assert len(written.splitlines()) == len(rows) + 2
    past, endings, told = past_of(inputs)
    assert past.pass_by(Proposal(trial)) is not None
    assert events.read_bytes() == written
    assert endings.counts(begun=1, is_exhausted=True, disk=None).finished == 1
    live = fold(told).trials[trial.name]
    of_file = fold(read_events(events, 0)[0]).trials[trial.name]
    assert (live.metrics, live.state, live.planned) == (of_file.metrics, of_file.state, of_file.planned)


def test_a_trial_that_was_judged_anew_or_started_again_is_written_again(inputs: SweepInputs) -> None:
    trial = config()
    rows = finish_under_ray(trial, inputs)
    events = inputs.experiment_dir / "events.jsonl"
    past_of(inputs)[0].pass_by(Proposal(trial))
    later = time.time() + 10
    os.utime(finished_path(inputs, trial), (later, later))
    past_of(inputs)[0].pass_by(Proposal(trial))
    assert len(events.read_bytes().splitlines()) == 2 * (len(rows) + 2)
    os.utime(finished_path(inputs, trial), (0, 0))
    begun = next(line for line in events.read_bytes().splitlines(keepends=True) if b'"start"' in line)
    with events.open("ab") as file:
        file.write(begun)  # then its driver was killed
    past_of(inputs)[0].pass_by(Proposal(trial))
    assert len(events.read_bytes().splitlines()) == 3 * (len(rows) + 2) + 1


def test_a_line_that_ray_has_half_written_does_not_hide_the_last_whole_one(inputs: SweepInputs) -> None:
    trial = config()
    finish_under_ray(trial, inputs)
    with (inputs.experiment_dir / trial.name / RESULT_FILE).open("ab") as file:
        file.write(b'{"step": 6, "test_lo')
    past, _, _ = past_of(inputs)
    assert past.pass_by(Proposal(trial)) is not None


def test_a_trial_that_lacks_its_judgement_runs(inputs: SweepInputs) -> None:
    trial = config()
    finish_under_ray(trial, inputs)
    path = finished_path(inputs, trial)
    kept = json.loads(path.read_text(encoding="utf-8"))
    kept["rows"][-1][NOT_JUDGED] = "the judge had no memory"
    path.write_text(json.dumps(kept), encoding="utf-8")
    past, _, told = past_of(inputs)
    assert past.pass_by(Proposal(trial)) is None
    assert not told


def test_a_trial_whose_base_answers_are_damaged_runs(inputs: SweepInputs) -> None:
    trial = config()
    finish_under_ray(trial, inputs)
    inputs.base_answers.write_text("{}\n", encoding="utf-8")
    past, _, _ = past_of(replace(inputs, began=0.0))
    assert past.pass_by(Proposal(trial)) is None


def test_events_that_can_not_be_read_keep_nothing_from_being_passed_by(inputs: SweepInputs) -> None:
    trial = config()
    finish_under_ray(trial, inputs)
    (inputs.experiment_dir / "events.jsonl").mkdir()
    past, _, told = past_of(inputs)
    assert past.pass_by(Proposal(trial)) is not None
    assert told
