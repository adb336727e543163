"""Disks that are full or broken: what is said, what is left behind, and how a sweep ends all the same."""

import errno
import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from basis import disks
from basis.directory import CHECKPOINT_FILE, FINISHED_FILE, TRAINED_FILE
from basis.disks import REASONS, DiskError, disk_failure, trouble
from basis.errors import UserError, name_failure
from basis.files import write_atomically, write_text
from sweep.inputs import SweepInputs
from sweep.memory.shape import planned_shapes
from sweep.preparation.disk_room import check_output_room
from sweep.search_space import candidate_trials, plan_sweep
from sweep.spec_file.load import load_spec
from sweep.storage.checkpoint import write_checkpoint
from sweep.tune.counts import SweepCounts
from sweep.tune.endings import Endings
from sweep.tune.event_log import EventLog
from sweep.worker import judging
from sweep.worker.opening import open_trial
from tests.sweep.worker.test_trial_run import config, finish, timeless


class FullFile:
    """A file that takes some bytes and then no more, as on a disk that is full."""

    def __init__(self, file: Any, room: int, number: int) -> None:
        self._file, self._room, self._number = file, room, number

    def write(self, content: Any) -> int:
        size = memoryview(content).nbytes
        self._room -= size
        if self._room < 0:
            raise OSError(self._number, "of the system")
        return int(self._file.write(content))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "FullFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leaves room for so many bytes in every file that is opened from now on for writing; None: for all."""
    real = Path.open

    def leave(room: int | None, number: int = errno.ENOSPC) -> None:
        def opened(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
            file = real(path, mode, *rest, **named)
            return FullFile(file, room, number) if "w" in mode and room is not None else file

        monkeypatch.setattr(Path, "open", opened)
        monkeypatch.setattr(Path, "write_bytes", lambda path, content: opened(path, "wb").write(content))

    return leave


@pytest.mark.parametrize("number", REASONS)
@pytest.mark.parametrize(
    "write",
    [lambda path: write_text(path, "x" * 9000), lambda path: write_checkpoint(path, {"a": torch.zeros(9000)})],
    ids=["text", "checkpoint"],
)
def test_a_write_that_fails_keeps_what_was_there_leaves_no_part_and_names_the_disk(
    tmp_path: Path, full: Callable[..., None], write: Callable[[Path], None], number: int
) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    full(4000, number)
    with pytest.raises(DiskError) as caught:
        write(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    said = name_failure(caught.value)
    assert said.startswith(f"{path}: can't be written: {REASONS[number]}")
    assert (f" free on {disks.mount_point(path)}, " in said) == (number in disks.FULL)
    assert said.endswith(" needed)") == (number in (*disks.FULL, errno.EFBIG))
    assert str(pickle.loads(pickle.dumps(caught.value))) == said


def test_what_a_library_in_rust_says_of_a_full_disk_is_understood(tmp_path: Path) -> None:
    with pytest.raises(SafetensorError) as caught:
        save_file({"a": torch.zeros(9)}, tmp_path / "no folder" / "file")
    assert disk_failure(caught.value) is None, "a folder that is missing is none of the disk's"
    assert disk_failure(SafetensorError("Error: I/O error: No space left on device (os error 28)")) == errno.ENOSPC
    wrapped = RuntimeError("unexpected pos 704 vs 598")
    wrapped.__context__ = OSError(errno.EDQUOT, "Disk quota exceeded")
    assert disk_failure(wrapped) == errno.EDQUOT


def test_a_trial_without_room_for_checkpoints_goes_on_and_says_so_once(
    inputs: SweepInputs, full: Callable[..., None]
) -> None:
    cfg = config(steps=4, method="full")
    trial = open_trial(cfg, inputs)
    full(100_000)  # all other files of the trial are smaller
    rows = finish(trial)
    full(None)
    [remark] = trial.remarks
    assert remark.startswith(f"{trial.folder / CHECKPOINT_FILE}: can't be written: the disk is full (")
    assert remark.endswith("needed); the trial goes on without one")
    assert not list(trial.folder.glob("*.partial"))
    assert rows[-1]["finished"]
    elsewhere = replace(inputs, experiment_dir=inputs.experiment_dir / "elsewhere")
    assert timeless(finish(open_trial(cfg, elsewhere))) == timeless(rows)


def test_a_trial_without_room_for_its_weights_fails_in_one_line_and_ends_well_once_there_is(
    inputs: SweepInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, lacking = config(steps=4), SafetensorError("I/O error: No space left on device (os error 28)")
    trial = open_trial(cfg, inputs)

    def full(model: torch.nn.Module, path: Path) -> None:
        path.write_bytes(b"half")
        raise lacking

    with monkeypatch.context() as patched:
        patched.setattr(judging, "save_trained", full)
        with pytest.raises(DiskError, match=rf"{TRAINED_FILE}: can't be written: the disk is full \(.*KiB needed\)$"):
            finish(trial)
    trial.close()
    assert not list(trial.folder.glob("*.partial"))
    assert not (trial.folder / FINISHED_FILE).exists()
    again = open_trial(cfg, inputs)
    assert again._training is not None
    assert again._training.done, "what was trained is in the checkpoint"
    assert finish(again)[-1]["finished"]


def trial_of(identity: str, **values: Any) -> Any:
    return SimpleNamespace(trial_id=identity, config=config().model_dump(), path="/nowhere", error_file=None, **values)


def test_how_trials_ended_is_known_without_a_file() -> None:
    said: list[str] = []
    endings = Endings(EventLog(Path("/nowhere/events.jsonl"), lambda event: None, said.append))
    for identity, row in {"a": {"finished": True}, "b": {"finished": True, "not_judged": "x"}, "c": {}}.items():
        endings.on_trial_result(0, [], trial_of(identity), row)
    endings.on_trial_error(0, [], trial_of("c"))
    endings.on_trial_error(0, [], trial_of("d"))
    assert endings.counts(6, True, "/x: the disk is full") == SweepCounts(2, 2, 2, 1, "/x: the disk is full")
    assert endings.counts(4, False, None) == SweepCounts(2, 2, 1, 1)
    [line] = said
    assert line.startswith("events.jsonl: events are lost ("), "said once"


def test_a_full_disk_is_named_whatever_it_made_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EOFError("Ran out of input")  # as Ray says of a file that could not be written
    assert trouble(broken, [tmp_path]) is None
    told = OSError(errno.EROFS, "Read-only file system", "/y/z")
    assert trouble(told, [tmp_path]) == "/y/z: the disk can only be read"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    assert trouble(broken, [tmp_path]) == (
        f"{tmp_path}: the disk is full (4.0 KiB free on {disks.mount_point(tmp_path)})"
    )


@pytest.mark.parametrize(
    ("free", "said"),
    [
        (10 * 2**30, ""),
        (6 * 2**20, "not for their checkpoints (up to 6.4 MiB, full adamw), without which a trial that is interrupted"),
    ],
)
def test_room_that_is_there_or_lacks_for_checkpoints_alone_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    heard = room_for("demo", tmp_path, free, monkeypatch)
    assert said in heard
    assert bool(heard) == bool(said)


def room_for(preset: str, folder: Path, free: int, monkeypatch: pytest.MonkeyPatch, *changes: str) -> str:
    """What is said of a sweep for which so many bytes are free."""
    spec, heard = load_spec(preset, list(changes)), list[str]()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    plan = plan_sweep(spec)
    check_output_room(planned_shapes(spec.models, plan.candidates), plan, folder, heard.append)
    return "\n".join(heard)


def test_a_sweep_without_room_is_refused_with_the_numbers_and_what_has_finished_counts_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = (
        r"7 trials will keep 4.4 MiB of weights .*up to 2.1 MiB of weights in one.* has 700.0 KiB free; make room"
    )
    with pytest.raises(UserError, match=expected) as caught:
        room_for("demo", tmp_path, 700 * 2**10, monkeypatch)
    assert len(str(caught.value)) <= 300
    for trial in candidate_trials(load_spec("demo", [])):
        if trial.method == "full" or trial.rank == 100:
            (tmp_path / trial.name).mkdir()
            (tmp_path / trial.name / FINISHED_FILE).write_text(json.dumps({}))
    assert "checkpoints" in room_for("demo", tmp_path, 700 * 2**10, monkeypatch)
    with pytest.raises(UserError, match=r"14 trials will keep 8\.7 MiB"):
        room_for("demo", tmp_path / "other", 8 * 2**20, monkeypatch, "seeds=2")


def test_permissions_are_what_the_users_umask_gives_whichever_library_writes(tmp_path: Path) -> None:
    def write_private(partial: Path) -> None:  # as safetensors does
        partial.unlink()
        os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))

    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "weights", write_private)
    assert (tmp_path / "weights").stat().st_mode == (tmp_path / "plain").stat().st_mode
