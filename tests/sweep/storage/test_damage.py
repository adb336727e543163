"""Files of a trial that are damaged: each is set aside and named, and the trial ends as if it had been whole."""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.results.damage import damaged_files
from analysis.results.files import read_trial_files
from basis.directory import (
    CHECKPOINT_FILE,
    DIVERGED_FILE,
    FINISHED_FILE,
    OUT_OF_MEMORY_FILE,
    RECORD_FILE,
    RESPONSES_FILE,
    RESULT_FILE,
    SUGGESTED_FILE,
    SWEEP_FILE,
    TRAINED_FILE,
    WINDOW_LOSSES_FILE,
    base_responses_file,
)
from basis.errors import UserError
from basis.metrics import NOT_JUDGED
from basis.stored.address import parse_address
from basis.stored.copy import Copy
from basis.stored.kinds import is_weights
from basis.stored.store import Store
from sweep.inputs import SweepInputs
from sweep.provenance.sweep_record import begin_sweep_record, check_identity, check_trial_hashes
from sweep.search_space import SUGGESTED as SUGGESTED_KEY
from sweep.spec_file.load import load_spec
from sweep.storage.finished import read_finished
from sweep.storage.healing import does_without_weights, heal_experiment
from sweep.tune.searchers import known_suggestions
from sweep.worker.opening import open_trial
from tests.object_store import ENVIRONMENT, object_store
from tests.sweep.worker.test_trial_run import config, finish, timeless

CONFIG = config(steps=4, test_windows=2)
KEPT = (TRAINED_FILE, RESPONSES_FILE, WINDOW_LOSSES_FILE, RECORD_FILE, SUGGESTED_FILE)
SUGGESTED = {"lr": 0.01}

Damage = Callable[[Path], object]


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbled(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


def unjudged(path: Path) -> None:
    kept = json.loads(path.read_text())
    kept["rows"][-1][NOT_JUDGED] = "no room"
    path.write_text(json.dumps(kept))


def one_byte_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = len(content) // 2
    if zipfile.is_zipfile(path):  # with padding between its members, which means nothing
        with zipfile.ZipFile(path) as archive:
            member = max(archive.infolist(), key=lambda one: one.file_size)
        place = member.header_offset
        lengths = (int.from_bytes(content[place + at : place + at + 2], "little") for at in (26, 28))
        place += 30 + sum(lengths) + member.file_size // 2
    content[place] ^= 1
    path.write_bytes(content)


DAMAGES: tuple[Damage, ...] = (Path.unlink, emptied, cut, garbled, one_byte_flipped)


@pytest.fixture(scope="module")
def ended(parts: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Experiment directories to copy: of a trial that has finished, and of one that was stopped after two rows."""
    return {}


@pytest.fixture
def experiment(inputs: SweepInputs, ended: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> SweepInputs:
    """The inputs with an experiment in which the trial has finished."""
    return _copied("finished", inputs, ended, tmp_path_factory)


@pytest.fixture
def stopped(inputs: SweepInputs, ended: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> SweepInputs:
    """The inputs with an experiment in which the trial was stopped after two rows."""
    return _copied("stopped", inputs, ended, tmp_path_factory)


def _copied(how: str, inputs: SweepInputs, ended: dict[str, Path], folders: pytest.TempPathFactory) -> SweepInputs:
    if how not in ended:
        ended[how] = folders.mktemp(how) / "experiment"
        trial = open_trial(CONFIG, replace(inputs, experiment_dir=ended[how]), SUGGESTED)
        if how == "finished":
            finish(trial)
        else:
            trial.advance()
            trial.advance()
            trial.close()
    shutil.copytree(ended[how], inputs.experiment_dir, dirs_exist_ok=True)
    return inputs


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return timeless(read_finished(folder / FINISHED_FILE).rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((TRAINED_FILE, damage) for damage in (Path.unlink, one_byte_flipped)),  # trained again, which takes time
        *((name, damage) for name in KEPT[1:] for damage in DAMAGES),
    ],
)
def test_a_file_of_a_finished_trial_that_is_damaged_is_made_again(
    experiment: SweepInputs, name: str, damage: Damage
) -> None:
    folder = experiment.experiment_dir / CONFIG.name
    before, rows = {kept: (folder / kept).read_bytes() for kept in KEPT}, rows_of(folder)
    damage(folder / name)
    trial = open_trial(CONFIG, experiment, SUGGESTED)
    [remark] = trial.remarks
    assert remark.startswith(f"{folder / name}: ")
    assert timeless(finish(trial)) == rows == rows_of(folder)
    assert {kept: (folder / kept).read_bytes() for kept in KEPT} == before
    assert (folder / f"{name}.damaged").exists() == (damage is not Path.unlink)
    again = open_trial(CONFIG, experiment, SUGGESTED)
    assert (again.remarks, again._training) == ([], None)
    again.close()


def of_another_trial(path: Path) -> None:
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "config": {**whole["config"], "seed": 99}}))


def without_its_last_row(path: Path) -> None:
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({**whole, "rows": whole["rows"][:-1]}))


@pytest.mark.parametrize(
    "damage",
    [emptied, cut, garbled, of_another_trial, without_its_last_row, lambda path: path.write_text("[1]")],
    ids=["emptied", "cut", "garbled", "another's", "rows", "a list"],
)
def test_a_damaged_finished_json_has_its_trial_trained_again(experiment: SweepInputs, damage: Damage) -> None:
    path = experiment.experiment_dir / CONFIG.name / FINISHED_FILE
    rows = rows_of(path.parent)
    damage(path)
    trial = open_trial(CONFIG, experiment)
    [remark] = trial.remarks
    assert remark.startswith(f"{path}: is ")
    assert remark.endswith(", set aside as finished.json.damaged; the trial is trained again")
    assert timeless(finish(trial)) == rows == rows_of(path.parent)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_answers_of_the_base_model_are_given_again(experiment: SweepInputs, damage: Damage) -> None:
    path = experiment.experiment_dir / base_responses_file(None)
    before = path.read_bytes()
    damage(path)
    trial = open_trial(CONFIG, experiment)
    rows = rows_of(trial.folder)
    assert timeless(finish(trial)) == rows
    assert path.read_bytes() == before
    assert (path.parent / "responses.jsonl.damaged").exists() == (damage is not Path.unlink)


def changed(change: Callable[[dict[str, Any]], object]) -> Damage:
    """A checkpoint in which something is otherwise than the trial left it."""

    def spoil(path: Path) -> None:
        state = torch.load(path)
        change(state)
        torch.save(state, path)

    return spoil


def flatten_a_weight(state: dict[str, Any]) -> None:
    trained = state["training"]["run"]["trained"]
    name = next(iter(trained))
    trained[name] = trained[name][:1]  # which would be copied into every row


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (emptied, "is damaged"),
        (cut, "is damaged"),
        (garbled, "is damaged"),
        (one_byte_flipped, "is damaged"),
        (lambda path: torch.save([1], path), "is damaged"),
        (changed(lambda state: state["training"]["run"]["trained"].popitem()), "trains other parameters"),
        (changed(flatten_a_weight), "trains other parameters"),
        (
            changed(lambda state: state["training"]["run"]["optimizers"][0]["state"].popitem()),
            "lacks the optimizer's state of some parameters",
        ),
        (changed(lambda state: state.pop("rows")), "'rows' is missing"),
        (changed(lambda state: state["rows"].pop()), "its rows are not those of its step"),
        (changed(lambda state: state["training"]["run"].pop("step")), "'step' is missing"),
        (changed(lambda state: state.update(config="full-adamw-lr1-s0-000000")), "is of full-adamw-lr1-s0-000000"),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_and_the_trial_starts_afresh(
    stopped: SweepInputs, experiment: SweepInputs, damage: Damage, reason: str
) -> None:
    folder = experiment.experiment_dir / CONFIG.name
    rows = rows_of(folder)
    (folder / FINISHED_FILE).unlink()
    damage(folder / CHECKPOINT_FILE)
    trial = open_trial(CONFIG, stopped)
    [remark] = trial.remarks
    assert reason in remark
    assert remark.endswith(", set aside as checkpoint.pt.damaged; the trial starts afresh")
    assert trial._training is not None
    assert trial._training.run.step == 0
    assert timeless(finish(trial)) == rows


@pytest.mark.slow
@pytest.mark.parametrize("name", [RECORD_FILE, SUGGESTED_FILE, OUT_OF_MEMORY_FILE, DIVERGED_FILE])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"half', b"[[1]]"])
def test_a_damaged_file_of_a_trial_that_was_stopped_keeps_it_from_nothing(
    stopped: SweepInputs, name: str, content: bytes
) -> None:
    folder = stopped.experiment_dir / CONFIG.name
    (folder / name).write_bytes(content)
    trial = open_trial(CONFIG, stopped, SUGGESTED)
    [remark] = trial.remarks
    assert remark.startswith(f"{folder / name}: is ")
    assert f", set aside as {name}.damaged; " in remark
    assert trial._training is not None
    assert trial._training.run.step == 2
    finish(trial)
    record = json.loads((folder / RECORD_FILE).read_text())
    assert ("earlier" in record) == (name == RECORD_FILE), "what the trial ran with before can't be told any more"


def asked_in(inputs: SweepInputs) -> dict[Path, list[str]]:
    """What `heal_experiment` is told of the base model's answers."""
    return {inputs.base_answers: [prompt.text for prompt in inputs.prompts]}


@pytest.fixture
def swept_of(experiment: SweepInputs) -> tuple[Path, dict[str, str]]:
    """An experiment directory with its sweep.json, and the identity in it."""
    identity = {"data": "a", "base model": "b", "reward": "c"}
    begin_sweep_record(experiment.experiment_dir, load_spec("demo"), "python -m sweep.run tiny", {}, identity)
    return experiment.experiment_dir, identity


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"{}", b'{"identity": 1}', b"\xff"])
def test_a_damaged_sweep_json_is_set_aside_and_written_anew_without_a_beginning_made_up(
    experiment: SweepInputs, swept_of: tuple[Path, dict[str, str]], content: bytes
) -> None:
    folder, identity = swept_of
    path = folder / SWEEP_FILE
    path.write_bytes(content)
    check_identity(folder, {**identity, "data": "x"})  # can't tell, and says nothing
    [line] = heal_experiment(folder, asked_in(experiment))
    assert line.startswith(f"{path}: ")
    assert ", set aside as sweep.json.damaged; written anew; when the sweep began, " in line
    begin_sweep_record(folder, load_spec("demo"), "", {}, identity)
    assert json.loads(path.read_text())["started_at"] is None
    assert heal_experiment(folder, asked_in(experiment)) == []


def test_where_sweep_json_is_lost_the_trials_records_tell_what_has_changed(experiment: SweepInputs) -> None:
    folder = experiment.experiment_dir
    path = folder / CONFIG.name / RECORD_FILE
    record = json.loads(path.read_text())
    hashes = {"base_weights": "1", "train_tokens": "2", "prompts": "3"}
    path.write_text(json.dumps({**record, "hashes": {**hashes, "data_files": {}}}))
    check_trial_hashes(folder, {None: hashes})
    with pytest.raises(UserError, match="changed since the sweep began: base weights, prompts"):
        check_trial_hashes(folder, {None: {"base_weights": "9", "train_tokens": "2", "prompts": "9"}})


def test_data_prepared_by_an_earlier_version_are_said_to_be_that(swept_of: tuple[Path, dict[str, str]]) -> None:
    folder, identity = swept_of
    with pytest.raises(UserError, match="changed since the sweep began: data"):
        check_identity(folder, {**identity, "data": "x"})
    before = json.loads((folder / SWEEP_FILE).read_text())
    del before["format"]
    (folder / SWEEP_FILE).write_text(json.dumps(before))
    with pytest.raises(UserError, match=r"begun by an earlier version, .* \(format 2, here 3\)"):
        check_identity(folder, {**identity, "data": "x"})


def test_a_suggestion_that_is_damaged_is_not_told_to_a_search_again(stopped: SweepInputs) -> None:
    folder = stopped.experiment_dir
    path = folder / CONFIG.name / SUGGESTED_FILE
    assert known_suggestions(folder) == [{f"{SUGGESTED_KEY}/lr": 0.01}]
    path.write_bytes(b"")
    assert heal_experiment(folder, asked_in(stopped)) == [
        f"{path}: is empty, set aside as suggested.json.damaged; a search can't be told it again"
    ]
    assert known_suggestions(folder) == []


def test_weights_that_lie_in_the_store_alone_are_held_to_their_size(
    experiment: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    directory = experiment.experiment_dir
    folder = directory / CONFIG.name
    rows = rows_of(folder)
    assert does_without_weights(folder)
    with object_store() as bucket:
        copy = Copy(Store(parse_address("--resume", bucket.address("kept")), "--resume"), directory)
        assert copy.push(is_end=True).failed == {}
        copy.drop_large()
        assert not (folder / TRAINED_FILE).exists()
        assert heal_experiment(directory, {}) == []
        trial = open_trial(CONFIG, experiment, SUGGESTED)
        assert (trial.remarks, trial._training) == ([], None)
        assert timeless(finish(trial)) == rows

        bucket.put(f"kept/{CONFIG.name}/{TRAINED_FILE}", b"half of it")
        copy.pull(lambda name: not is_weights(name))
    [said] = heal_experiment(directory, {})
    assert said == f"{folder / TRAINED_FILE}: is missing; the trial is trained again"
    assert not does_without_weights(folder), "it has not finished any more"


@pytest.mark.parametrize(("name", "damage"), [(RESPONSES_FILE, cut), (FINISHED_FILE, cut), (FINISHED_FILE, unjudged)])
def test_a_trial_that_is_judged_or_trained_again_wants_its_weights(
    experiment: SweepInputs, name: str, damage: Damage
) -> None:
    folder = experiment.experiment_dir / CONFIG.name
    damage(folder / name)
    assert not does_without_weights(folder)


def damaged(folder: Path) -> list[str]:
    return damaged_files(folder, {CONFIG.name: read_trial_files(folder / CONFIG.name)})


def test_weights_that_were_deleted_to_make_room_are_no_damage_to_a_report(
    swept_of: tuple[Path, dict[str, str]],
) -> None:
    folder, _ = swept_of
    (folder / "spec.yaml").write_text("name: tiny\n")
    rows = read_finished(folder / CONFIG.name / FINISHED_FILE).rows
    (folder / CONFIG.name / RESULT_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / CONFIG.name / TRAINED_FILE).unlink()
    assert damaged(folder) == []


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        (SWEEP_FILE, emptied, "sweep.json can't be read: what it says of the sweep is left out."),
        (base_responses_file(None), cut, "base/responses.jsonl has "),
        (f"{CONFIG.name}/{FINISHED_FILE}", cut, f"{CONFIG.name}/finished.json can't be read: the trial's numbers are "),
        (f"{CONFIG.name}/{TRAINED_FILE}", emptied, f"{CONFIG.name}/trained.safetensors is empty."),
        (f"{CONFIG.name}/{RESPONSES_FILE}", one_byte_flipped, "responses.jsonl has other content than was written."),
        (f"{CONFIG.name}/{RESULT_FILE}", cut, "result.json lacks rows: they are taken from finished.json."),
    ],
)
def test_a_report_names_what_is_damaged_and_how_to_mend_it(
    swept_of: tuple[Path, dict[str, str]], name: str, damage: Damage, said: str
) -> None:
    folder, _ = swept_of
    (folder / "spec.yaml").write_text("name: tiny\n")
    rows = read_finished(folder / CONFIG.name / FINISHED_FILE).rows
    (folder / CONFIG.name / RESULT_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert damaged(folder) == []
    damage(folder / name)
    first, last = damaged(folder)
    assert said in first
    assert "--resume" in last
    assert [row["step"] for row in read_trial_files(folder / CONFIG.name).rows] == [row["step"] for row in rows]
