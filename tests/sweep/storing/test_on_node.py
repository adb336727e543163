"""A trial on a node that shares no folder with the driver: what it keeps is in the store before its end is told."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from basis.directory import CHECKPOINT_FILE, FINISHED_FILE, OUTCOME_FILE, RECORD_FILE, RESULT_FILE, TRAINED_FILE
from basis.stored import store
from basis.stored.address import parse_address
from basis.stored.copy import Copy
from basis.stored.store import Store, StoreError
from sweep.inputs import StoredSweep, SweepInputs
from sweep.storing import answer, patience
from sweep.storing.on_node import StoredTrial
from tests.conftest import wait_for
from tests.object_store import ENVIRONMENT, ObjectStore, away_for, object_store

TRIAL = "full-s0"
KEPT = {RECORD_FILE: "record", TRAINED_FILE: "weights", FINISHED_FILE: "all rows", OUTCOME_FILE: "finished"}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with object_store() as one:
        yield one


@pytest.fixture
def stored(bucket: ObjectStore) -> StoredSweep:
    return StoredSweep(bucket.address("out"), {})


def on_node(inputs: SweepInputs, stored: StoredSweep, node: Path) -> tuple[StoredTrial, Path]:
    """The trial on a node, with the folder that it works in; nothing judges it."""
    here = replace(inputs, experiment_dir=node, reward=inputs.reward.model_copy(update={"model": None}))
    return StoredTrial(here, stored, TRIAL), node / TRIAL


def keep(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_a_trial_goes_on_on_another_node_from_the_last_checkpoint_that_was_sent(
    bucket: ObjectStore, inputs: SweepInputs, stored: StoredSweep, tmp_path: Path
) -> None:
    first, folder = on_node(inputs, stored, tmp_path / "node-1")
    first.bring()
    keep(folder, **{RECORD_FILE: "record", CHECKPOINT_FILE: "step 1"})
    first.keep_up()
    wait_for(lambda: f"{TRIAL}/{CHECKPOINT_FILE}" in bucket.names("out"))
    keep(folder, **{CHECKPOINT_FILE: "step 2, which its node takes with it"})

    second, moved = on_node(inputs, stored, tmp_path / "node-2")
    second.bring()
    assert (moved / CHECKPOINT_FILE).read_text() == "step 1"
    (moved / CHECKPOINT_FILE).unlink()
    keep(moved, **KEPT)
    second.end()
    assert {name.rpartition("/")[2]: text.decode() for name, text in bucket.objects("out").items()} == KEPT
    assert not moved.exists()
    puts = [line.rpartition("/")[2] for line in bucket.seen if line.startswith("PUT") and line.endswith(tuple(KEPT))]
    assert set(puts[-2:]) == {FINISHED_FILE, OUTCOME_FILE}, "what says that all is there comes after all"


def test_the_end_of_a_trial_waits_for_a_store_that_is_away(
    bucket: ObjectStore, inputs: SweepInputs, stored: StoredSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ATTEMPTS", 1)  # pyarrow's own patience is no part of it
    trial, folder = on_node(inputs, stored, tmp_path / "node")
    trial.bring()
    keep(folder, **KEPT)
    bucket.fails = away_for(4)
    trial.end()
    assert len(bucket.objects("out")) == len(KEPT)

    again, folder = on_node(inputs, stored, tmp_path / "node")
    keep(folder, **{OUTCOME_FILE: "another"})
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.0)
    bucket.fails = lambda method, path: "busy"
    with pytest.raises(StoreError, match="object storage s3://sweeps/out/full-s0: it is not available"):
        again.end()
    assert folder.is_dir(), "what is not sent stays"
    bucket.fails = lambda method, path: None
    again.end()
    assert bucket.objects("out")[f"{TRIAL}/{OUTCOME_FILE}"] == b"another"


def test_the_driver_brings_a_trial_without_weights_and_neither_sends_nor_removes_what_is_the_nodes(
    bucket: ObjectStore, inputs: SweepInputs, stored: StoredSweep, tmp_path: Path
) -> None:
    driver = Copy(Store(parse_address("--output", stored.address), "--output"), tmp_path / "driver")
    keep(driver.folder, **{"spec.yaml": "spec"})
    keep(driver.folder / TRIAL, **{RESULT_FILE: "rows"})  # Ray's own
    driver.push()
    trial, folder = on_node(inputs, stored, tmp_path / "node")
    trial.bring()
    assert not (folder / RESULT_FILE).exists()
    keep(folder, **KEPT)
    trial.end()

    keep(driver.folder / TRIAL, **{RESULT_FILE: "rows and more"})
    orders = answer.Orders(stored.address, str(driver.folder))
    answer.carry_out({"trial": TRIAL}, orders)
    here = {path.name: path.read_text() for path in (driver.folder / TRIAL).iterdir() if path.name[0] != "."}
    assert here == {**{name: text for name, text in KEPT.items() if name != TRAINED_FILE}, RESULT_FILE: "rows and more"}
    bucket.seen.clear()
    assert driver.push(is_end=True).sent == 1
    assert [line for line in bucket.seen if line.startswith("PUT")] == [f"PUT /sweeps/out/{TRIAL}/{RESULT_FILE}"]
    assert bucket.objects("out")[f"{TRIAL}/{TRAINED_FILE}"] == b"weights"

    bucket.delete(f"out/{TRIAL}/{RECORD_FILE}")  # as a node does that goes on with the trial
    answer.carry_out({"trial": TRIAL}, orders)
    assert not (driver.folder / TRIAL / RECORD_FILE).exists()
    bucket.put(f"out/{TRIAL}/{RECORD_FILE}", b"of the next try")
    driver.push(is_end=True)
    assert bucket.objects("out")[f"{TRIAL}/{RECORD_FILE}"] == b"of the next try"
