"""What is asked of a sweep through its store: it reaches the sweep on another machine, and its answer comes back."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from basis.control_record import read_decisions
from basis.directory import CONTROL_DIR, SPEC_FILE
from basis.packages import ROOT
from basis.stored.address import parse_address
from basis.stored.claim import claim
from basis.stored.places import copy_of, sweep_lock_of
from basis.stored.store import Store
from sweep import control
from sweep.spec_file.load import load_kept_plan
from sweep.steering.desk import Desk
from sweep.storage.claim import claimed
from sweep.storing.send import Orders
from tests.object_store import ObjectStore
from tests.sweep.steering.test_desk import SPEC

Said = pytest.CaptureFixture[str]


def take_requests(folder: Path, over: threading.Event) -> None:
    """What a sweep does with requests, without its trials."""
    desk = Desk(folder, load_kept_plan(folder), lambda trial: trial.model_dump(mode="json"), lambda _: None)
    while not over.wait(0.1):
        desk.take(at_once=True)


@pytest.mark.slow
def test_a_sweep_of_another_machine_answers_through_the_store(
    bucket: ObjectStore, tmp_path: Path, capsys: Said
) -> None:
    address = bucket.address("asked")
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / SPEC_FILE).write_text(yaml.safe_dump(SPEC))
    full = load_kept_plan(folder).candidates[0].name
    mine = claim(Store(parse_address("--output", address), "--output"), "--output")
    over, pipe = threading.Event(), subprocess.PIPE
    sender = subprocess.Popen([sys.executable, "-m", "sweep.storing.send"], stdin=pipe, text=True, cwd=ROOT)
    assert sender.stdin is not None
    sender.stdin.write(Orders(address, "--output", str(folder), mine).to_line() + "begin\n")
    sender.stdin.flush()
    while SPEC_FILE not in bucket.names("asked"):
        time.sleep(0.1)
    runs = threading.Thread(target=take_requests, args=(folder, over))
    runs.start()
    try:
        with claimed(folder):
            assert control.main([address, "clone", full, "lr=3e-4"]) == 0
            assert control.main([address, "clone", full, "lr=0"]) == 2
            assert control.main([address, "status"]) == 0
    finally:
        over.set()
        runs.join()
        sender.communicate("end\n")
    assert sender.returncode == 0
    added, refused = read_decisions(folder)
    told = capsys.readouterr()
    answer, state, *asked = told.out.splitlines()
    assert answer == f"added {added.trials[0]}"
    assert told.err == f"error: {refused.answer}\n"
    assert state == f"{address}: its sweep runs; 0 trials have finished"
    assert len(asked) == 2
    assert not [name for name in bucket.names("asked") if name.startswith(f"{CONTROL_DIR}/")], "both are answered"

    assert control.main([address, "stop"]) == 2  # it is over by now
    assert "its sweep is not running; go on with: python -m sweep.run --resume" in capsys.readouterr().err
    assert not [name for name in bucket.names("asked") if name.startswith(f"{CONTROL_DIR}/")], "nothing waits in vain"


def test_a_sweep_of_this_machine_is_asked_in_its_copy(bucket: ObjectStore, capsys: Said) -> None:
    address = bucket.address("here")
    copy = copy_of(parse_address("DIR", address), "DIR")
    copy.folder.mkdir(parents=True)
    (copy.folder / SPEC_FILE).write_text(yaml.safe_dump(SPEC))
    over = threading.Event()
    runs = threading.Thread(target=take_requests, args=(copy.folder, over))
    with sweep_lock_of(copy), claimed(copy.folder):
        runs.start()
        try:
            assert control.main([address, "seeds", "+1"]) == 0
        finally:
            over.set()
            runs.join()
    assert capsys.readouterr().out.startswith("added 2 trials")
    assert bucket.seen == []


def test_an_address_without_a_sweep_is_told_in_a_line(bucket: ObjectStore, capsys: Said) -> None:
    assert control.main([bucket.address("nothing"), "stop"]) == 2
    assert (
        capsys.readouterr().err
        == "error: DIR s3://sweeps/nothing: no spec.yaml in it; name the address of a running sweep\n"
    )
