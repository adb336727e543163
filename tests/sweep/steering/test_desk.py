"""What a running sweep makes of requests: decided once, recorded first, by the rules that a spec meets."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from basis.control_record import Decision, read_decisions
from basis.directory import CONTROL_DIR, CONTROL_FILE, EVENTS_FILE, FINISHED_FILE, PARAMS_FILE, RECORD_FILE, SPEC_FILE
from basis.errors import UserError
from basis.stages import Stage
from sweep.progress.event_file import append_events
from sweep.progress.events import OverEvent
from sweep.search_space import SweepPlan
from sweep.spec_file.load import load_kept_plan
from sweep.steering.ask import answers, ask, await_answer
from sweep.steering.desk import Desk
from sweep.steering.request import Request, write_request
from sweep.storage.claim import claimed
from sweep.trial.config import TrialConfig

SPEC: dict[str, Any] = {
    "name": "two arms",
    "model": {"name": "gpt2"},
    "trial": {"steps": 8, "batch_size": 4, "block_size": 32, "test_every": 4, "test_windows": 4},
    "lora": {"alpha": 16},
    "space": [
        {"method": "full", "optimizer": "adamw", "lr": 1e-3},
        {"method": "lora", "rank": 2, "optimizer": "sgd", "lr": 1e-2},
    ],
}


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    (tmp_path / SPEC_FILE).write_text(yaml.safe_dump(SPEC))
    return tmp_path


@pytest.fixture
def running(experiment: Path) -> Iterator[Path]:
    with claimed(experiment):
        yield experiment


class Sweep:
    """A desk, and what it told and handed out."""

    def __init__(self, experiment: Path, least_lr: float = 0.0) -> None:
        def propose(trial: TrialConfig) -> dict[str, Any]:
            if trial.lr < least_lr:
                raise UserError("memory.budget: it does not fit")
            return trial.model_dump(mode="json")

        self.told: list[Decision] = []
        self.plan: SweepPlan = load_kept_plan(experiment)
        self.desk = Desk(experiment, self.plan, propose, self.told.append)

    def take(self) -> "Sweep":
        self.desk.take()
        return self

    @property
    def proposed(self) -> list[dict[str, Any]]:
        return [waiting.proposal for waiting in iter(self.desk.next_trial, None)]

    @property
    def names(self) -> list[str]:
        return [trial.name for trial in self.plan.candidates]


def test_a_clone_differs_in_what_was_asked_and_is_run_and_recorded_with_time_and_origin(running: Path) -> None:
    sweep = Sweep(running)
    full, _ = sweep.names
    asked = ask(running, Request("clone", "page", full, {"lr": 3e-4}))
    [made] = sweep.take().proposed
    assert made == {**sweep.plan.candidates[0].model_dump(mode="json"), "lr": 3e-4}
    decision = answers(running)[asked]
    assert (decision.origin, decision.words, decision.refused) == ("page", f"clone {full} lr=0.0003", False)
    assert decision.trials == (TrialConfig.model_validate(made).name,)
    assert sweep.told == [decision]
    assert not list((running / CONTROL_DIR).iterdir())


def test_an_added_trial_has_what_all_trials_share_and_a_clone_of_another_method_its_fields(running: Path) -> None:
    sweep = Sweep(running)
    full, lora = sweep.names
    ask(running, Request("add", "command", values={"method": "lora", "rank": 8, "optimizer": "adamw", "lr": 1e-3}))
    ask(running, Request("clone", "command", full, {"method": "lora", "rank": 4}))
    ask(running, Request("clone", "command", lora, {"optimizer": "momentum"}))
    added, as_lora, other = sweep.take().proposed
    assert (added["steps"], added["alpha"], added["betas"]) == (8, 16, [0.9, 0.95])
    assert (as_lora["rank"], as_lora["alpha"], as_lora["lr"]) == (4, 16, 1e-3)
    assert (other["momentum"], other["rank"], other["lr"]) == (0.9, 2, 1e-2)


def test_further_seeds_are_those_that_an_arm_has_not_run_with(running: Path) -> None:
    sweep = Sweep(running)
    ask(running, Request("seeds", "command", seeds=1))
    assert [(made["method"], made["seed"]) for made in sweep.take().proposed] == [("full", 1), ("lora", 1)]
    again = Sweep(running)
    assert [made["seed"] for made in again.proposed] == [1, 1], "what was made is run when the sweep goes on"
    ask(running, Request("seeds", "command", "full adamw", seeds=2))
    assert [(made["method"], made["seed"]) for made in again.take().proposed] == [("full", 2), ("full", 3)]


def test_an_arm_goes_by_the_name_that_it_has_in_the_report(running: Path) -> None:
    sweep = Sweep(running)
    ask(running, Request("clone", "command", sweep.names[0], {"lr": 3e-4}))
    assert len(sweep.take().proposed) == 1
    with pytest.raises(UserError, match=r"'full adamw' is the name of 2 arms; accepted: full adamw lr=0\.001, full"):
        ask(running, Request("seeds", "command", "full adamw", seeds=1))
    ask(running, Request("seeds", "command", "full adamw lr=0.0003", seeds=1))
    sweep.desk.take(at_once=True)
    assert [(made["lr"], made["seed"]) for made in sweep.proposed] == [(3e-4, 1)]


def spec_with(experiment: Path, **changes: Any) -> None:
    (experiment / SPEC_FILE).write_text(yaml.safe_dump({**SPEC, **changes}))


def test_an_arm_that_was_added_gets_the_seeds_of_the_others_first(running: Path) -> None:
    spec_with(running, seeds=3)
    sweep = Sweep(running)
    ask(running, Request("clone", "command", sweep.names[0], {"lr": 3e-4}))
    [clone] = sweep.take().proposed
    name = TrialConfig.model_validate(clone).name
    ask(running, Request("seeds", "command", name, seeds=3))
    sweep.desk.take(at_once=True)
    assert [made["seed"] for made in sweep.proposed] == [1, 2, 3]
    ask(running, Request("seeds", "command", sweep.names[0], seeds=1))
    sweep.desk.take(at_once=True)
    assert [(made["lr"], made["seed"]) for made in sweep.proposed] == [(1e-3, 3)]


def test_a_clone_of_a_tuning_trial_is_tested_and_takes_no_part_in_tuning(running: Path) -> None:
    branch = {"method": "full", "optimizer": "adamw", "lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    spec_with(running, space=[branch], search="tuned", trials=3, seeds=2)
    sweep = Sweep(running)
    with pytest.raises(UserError, match="no arm has been tested yet"):
        ask(running, Request("seeds", "command", seeds=1))
    ask(running, Request("clone", "command", sweep.names[0], {"lr": 3e-4}))
    [clone] = sweep.take().proposed
    assert (clone["evaluate_on"], clone["seed"]) == (Stage.FINAL, 0)
    ask(running, Request("seeds", "command", seeds=2))
    sweep.desk.take(at_once=True)
    assert [made["seed"] for made in sweep.proposed] == [1, 3], "2 is the seed of tuning trials"
    assert sweep.told[-1].answer.endswith("; ask again for the arm that is not tested yet")


@pytest.mark.parametrize(("name", "kept"), [(RECORD_FILE, lambda c: {"config": c}), (PARAMS_FILE, lambda c: c)])
def test_a_trial_that_no_list_has_is_known_once_it_has_begun(
    running: Path, name: str, kept: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    branch = {"method": "full", "optimizer": "adamw", "lr": {"low": 1e-4, "high": 1e-2, "log": True}}
    spec_with(running, space=[branch], search="optuna", trials=3, choose_on="test")
    trial = Sweep(running).plan.candidates[0].model_copy(update={"lr": 5e-3})
    with pytest.raises(UserError, match="is no trial of this sweep"):
        ask(running, Request("stop", "command", trial.name))
    (running / trial.name).mkdir()
    (running / trial.name / name).write_text(json.dumps(kept(trial.model_dump(mode="json"))))
    ask(running, Request("stop", "command", trial.name))
    ask(running, Request("seeds", "command", seeds=1))
    sweep = Sweep(running).take()
    assert sweep.told[0].trials == (trial.name,)
    assert sweep.told[1].answer == "no arm has been tested yet; ask again when the first one has begun"


def test_with_several_base_models_an_added_trial_names_its_own(running: Path) -> None:
    spec_with(running, model=[{"name": "gpt2"}, {"name": "gpt2-medium"}])
    values = {"method": "full", "optimizer": "sgd", "lr": 1.0}
    with pytest.raises(UserError, match=r"model: null is not accepted .* prepared for: 'gpt2', 'gpt2-medium'"):
        ask(running, Request("add", "command", values=values))
    ask(running, Request("add", "command", values={**values, "model": "gpt2-medium"}))
    assert [made["model"] for made in Sweep(running).take().proposed] == ["gpt2-medium"]


def test_a_stop_holds_after_a_resume_until_the_trial_is_started(running: Path) -> None:
    full, lora = Sweep(running).names
    ask(running, Request("stop", "command", lora))
    assert set(Sweep(running).take().desk.stopped) == {lora}
    resumed = Sweep(running)
    assert set(resumed.desk.stopped) == {lora}
    with pytest.raises(UserError, match="is stopped already"):
        ask(running, Request("stop", "command", lora))
    with pytest.raises(UserError, match=f"{full} was not stopped by request; accepted: {lora}"):
        ask(running, Request("start", "command", full))
    ask(running, Request("start", "command", lora))
    assert [made["method"] for made in resumed.take().proposed] == ["lora"]
    assert not resumed.desk.stopped
    assert not Sweep(running).desk.stopped


def test_the_whole_sweep_is_stopped_once_and_not_again_when_it_goes_on(running: Path) -> None:
    ask(running, Request("stop", "page"))
    assert Sweep(running).take().desk.stops_sweep
    assert not Sweep(running).take().desk.stops_sweep


@pytest.mark.parametrize(
    ("request_made", "message"),
    [
        (Request("add", "command", values={"method": "full", "lr": 1e-3}), "optimizer: missing"),
        (
            Request("add", "command", values={"methd": "full", "optimizer": "sgd", "lr": 1}),
            r"methd: unknown key \(did you mean 'method'\?\)",
        ),
        (
            Request("add", "command", values={"method": "full", "optimizer": "adamw", "lr": -1}),
            "lr: -1 is not accepted; accepted: a number above 0",
        ),
        (
            Request("add", "command", values={"method": "full", "optimizer": "adamw", "lr": 1e-3}),
            "is a trial of this sweep already",
        ),
        (
            Request("add", "command", values={"method": "full", "optimizer": "sgd", "lr": 1, "block_size": 64}),
            "block_size: 64 is not accepted in a sweep that runs; it is prepared for: 32",
        ),
        (
            Request("add", "command", values={"method": "full", "optimizer": "sgd", "lr": 1, "model": "gpt2"}),
            "model: 'gpt2' is not accepted in a sweep that runs; it is prepared for: null",
        ),
        (Request("clone", "command", "full-adamw", {"seed": 3}), "is no trial of this sweep; did you mean full-adamw-"),
        (Request("clone", "command", "zzz", {"lr": 3}), "'zzz' is no trial of this sweep; accepted: full-adamw-"),
        (Request("seeds", "command", seeds=0), r"seeds \+0 is not accepted; accepted: from \+1 to \+1000"),
        (
            Request("seeds", "command", "lora r9 sgd", seeds=1),
            "'lora r9 sgd' is no arm of this sweep; did you mean lora",
        ),
    ],
)
def test_what_no_spec_could_say_is_refused_in_one_line_before_anything_is_asked(
    running: Path, request_made: Request, message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        ask(running, request_made)
    assert "\n" not in str(refused.value)
    assert not (running / CONTROL_DIR).exists()


def test_a_seed_is_no_field_of_a_clone(running: Path) -> None:
    full, _ = Sweep(running).names
    with pytest.raises(UserError, match=r"seed: not accepted; further seeds are asked for by seeds \+1"):
        ask(running, Request("clone", "command", full, {"seed": 3}))


def test_a_trial_that_does_not_fit_is_refused_by_the_sweep_with_its_message(running: Path) -> None:
    sweep = Sweep(running, least_lr=1e-3)
    asked = ask(running, Request("clone", "command", sweep.names[0], {"lr": 1e-6}))
    assert sweep.take().proposed == []
    answer = await_answer(running, asked, seconds=1)
    assert answer is not None
    assert (answer.refused, answer.answer) == (True, "memory.budget: it does not fit")


def test_whatever_goes_wrong_with_a_request_the_sweep_goes_on(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep(running)
    asked = ask(running, Request("stop", "command"))
    monkeypatch.setattr("sweep.steering.desk.effect_of", lambda *_: 1 / 0)
    sweep.take()
    assert answers(running)[asked].answer == "ZeroDivisionError: division by zero"


def test_a_trial_that_has_finished_is_not_stopped(running: Path) -> None:
    full, _ = Sweep(running).names
    (running / full).mkdir()
    (running / full / FINISHED_FILE).write_text("{}")
    with pytest.raises(UserError, match="has finished already"):
        ask(running, Request("stop", "command", full))


def test_a_sweep_that_has_finished_is_not_said_to_go_on(experiment: Path) -> None:
    append_events(experiment / EVENTS_FILE, OverEvent(time=1.0, finished=2, failed=0, interrupted=0))
    with pytest.raises(UserError, match="its sweep has finished and takes no requests"):
        ask(experiment, Request("stop", "command"))


def test_a_sweep_that_does_not_run_is_asked_nothing_and_what_waits_when_it_ends_is_refused(experiment: Path) -> None:
    with pytest.raises(UserError, match=r"its sweep is not running; go on with: python -m sweep\.run --resume"):
        ask(experiment, Request("stop", "command"))
    with claimed(experiment):
        sweep, asked = Sweep(experiment), ask(experiment, Request("stop", "command"))
        sweep.desk.close()
    assert answers(experiment)[asked].refused
    late = write_request(experiment, Request("stop", "command"))  # as if asked in the sweep's last moment
    with pytest.raises(UserError, match="is not running"):
        await_answer(experiment, late, seconds=1)
    assert not list((experiment / CONTROL_DIR).iterdir()), "it is withdrawn"


def test_a_process_that_is_killed_loses_no_request_and_carries_none_out_twice(running: Path) -> None:
    full, _ = Sweep(running).names
    asked = ask(running, Request("clone", "command", full, {"lr": 3e-4}))
    waiting = running / CONTROL_DIR / f"{asked}.json"
    request = waiting.read_text()
    killed = Sweep(running)  # before it has looked
    assert killed.proposed == []
    assert len(Sweep(running).take().proposed) == 1
    waiting.write_text(request)  # killed between the record and the removal
    again = Sweep(running).take()
    assert (len(again.proposed), again.told, waiting.exists()) == (1, [], False)

    record = (running / CONTROL_FILE).read_bytes()
    (running / CONTROL_FILE).write_bytes(record[: len(record) // 2])  # killed while it recorded
    waiting.write_text(request)
    assert read_decisions(running) == []
    assert len(Sweep(running).take().proposed) == 1
    assert [decision.id for decision in read_decisions(running)] == [asked]


def test_a_disk_without_room_for_the_record_leaves_the_request_waiting(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full, _ = Sweep(running).names
    asked = ask(running, Request("clone", "command", full, {"lr": 3e-4}))
    sweep = Sweep(running)
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert sweep.take().proposed == []
    assert (running / CONTROL_DIR / f"{asked}.json").exists()


def test_files_that_hold_no_request_are_set_aside_and_keep_nothing_up(running: Path) -> None:
    (running / CONTROL_DIR).mkdir()
    for number, text in enumerate(["", "[]", "{}", json.dumps({"action": "rm"}), "[" * 10_000]):
        (running / CONTROL_DIR / f"000-{number}.json").write_text(text)
    asked = ask(running, Request("stop", "command"))
    assert Sweep(running).take().desk.stops_sweep
    assert list(answers(running)) == [asked]
    assert {path.suffix for path in (running / CONTROL_DIR).iterdir()} == {".damaged"}


def test_a_file_that_can_not_be_read_or_set_aside_keeps_nothing_up(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(running)
    full, lora = sweep.names
    foreign = write_request(running, Request("stop", "command", lora, time=1.0))
    (running / CONTROL_DIR / "0.json").write_text("no request")
    ask(running, Request("stop", "command", full))
    read = Path.read_bytes

    def refuse(path: Path, *_: object) -> bytes:
        if path.suffix == ".damaged" or path.stem == foreign:
            raise PermissionError(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(Path, "rename", lambda path, target: refuse(target))
    assert list(sweep.take().desk.stopped) == [full]
    assert [path.stem for path in sorted((running / CONTROL_DIR).iterdir())] == ["0", foreign]
