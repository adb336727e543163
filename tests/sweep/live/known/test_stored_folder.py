"""Pages of experiments in object storage: what is brought for them, how often, and what is told of them."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from basis.errors import UserError
from basis.stored import store as store_module
from basis.stored.address import parse_address
from basis.stored.copy import Copy
from basis.stored.places import copy_of, lock_of, sweep_lock_of
from basis.stored.store import Store
from sweep.live.known import stored_folder
from sweep.live.known.stored_folder import StoredFolder
from tests.object_store import ENVIRONMENT, ObjectStore, object_store
from tests.sweep.live.made_up import TRIALS, Client, over, running, tell, visit
from tests.sweep.progress.made_up import end


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ObjectStore]:
    for name, value in {**ENVIRONMENT, "SFT_SWEEP_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(stored_folder, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(store_module, "ATTEMPTS", 1)
    with object_store() as store:
        yield store


def send(folder: Path, bucket: ObjectStore, path: str) -> None:
    """What the machine does on which the sweep runs."""
    copy = Copy(Store(parse_address("--output", bucket.address(path)), "--output"), folder)
    assert copy.push(is_end=True).failed == {}


def stored(bucket: ObjectStore, path: str) -> StoredFolder:
    return StoredFolder(parse_address("DIR", bucket.address(path)), "DIR", lambda line: None)


def test_a_sweep_of_another_machine_is_watched_and_no_weights_are_brought(bucket: ObjectStore, tmp_path: Path) -> None:
    there = tmp_path / "there"
    running(there, time.time())
    for name in ("trained.safetensors", "checkpoint.pt", "events.out.tfevents.1"):
        (there / TRIALS[0].trial / name).write_bytes(b"large")
    (there / "report").mkdir()
    (there / "report" / "report.html").write_text("large")
    send(there, bucket, "all/one")
    folder = stored(bucket, "all/one")
    folder.bring()
    brought = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert brought == {"spec.yaml", "events.jsonl", "params.json", ".stored.json", "copy.lock"}

    async def story(client: Client) -> None:
        told = (await client.deltas("/e/one"))["parts"]["live-progress"]
        assert "1 of 4 trials ended" in told
        tell(there, end(TRIALS[1], time.time()))
        await asyncio.to_thread(send, there, bucket, "all/one")
        while "2 of 4 trials ended" not in told:
            parts = (await client.deltas("/e/one"))["parts"]
            told = parts.get("live-progress", told)
            await asyncio.sleep(0.05)
        tell(there, over(time.time(), interrupted=2))
        await asyncio.to_thread(send, there, bucket, "all/one")
        while "Continue it with: " not in told:
            told = (await client.deltas("/e/one"))["parts"]["live-progress"]
            await asyncio.sleep(0.05)
        assert "--resume &#39;s3://sweeps/all/one?endpoint_override=" in told

    visit(folder, story)


def test_the_store_is_asked_while_somebody_looks_and_no_more_often_than_that(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    running(there, time.time())
    send(there, bucket, "bounded")
    folder = stored(bucket, "bounded")
    folder.bring()
    bucket.seen.clear()
    monkeypatch.setattr(stored_folder, "REFRESH_SECONDS", 0.5)

    async def story(client: Client) -> None:
        began = time.monotonic()
        while len(bucket.seen) < 4:
            await client.deltas("/e/bounded")
            await asyncio.sleep(0.05)
        assert time.monotonic() - began >= 1.0, "four listings are three waits, of which the first may be over"
        looked = len(bucket.seen)
        await asyncio.sleep(1.0)
        assert len(bucket.seen) == looked, "nobody has looked"
        assert set(bucket.seen) == {"GET /sweeps"}, "nothing has changed, so it is only listed"

    visit(folder, story)


def test_a_stored_folder_lists_its_experiments_and_starts_none(bucket: ObjectStore, tmp_path: Path) -> None:
    for name in ("one", "two"):
        running(tmp_path / name, time.time())
        send(tmp_path / name, bucket, f"all/{name}")
    bucket.put("all/somebody-elses/data.bin", b"large")
    folder = stored(bucket, "all")
    folder.bring()
    assert folder.experiments().keys() == {"one", "two"}
    assert not list((tmp_path / "cache").rglob("data.bin"))

    async def story(client: Client) -> None:
        listed = (await client.deltas(""))["parts"]["experiments"]
        assert listed.count(">running<") == 2
        assert "Start a new sweep" not in listed
        assert (await client.get("/new"))[0] == 404

    visit(folder, story)


def test_a_sweep_of_this_machine_is_read_where_it_works(bucket: ObjectStore, tmp_path: Path) -> None:
    running(tmp_path / "one", time.time())
    send(tmp_path / "one", bucket, "all/one")
    here = copy_of(parse_address("DIR", bucket.address("all/one")), "DIR")
    here.pull()
    tell(here.folder, end(TRIALS[1], time.time()))
    with sweep_lock_of(here), lock_of(here):
        alone, all_of_it = stored(bucket, "all/one"), stored(bucket, "all")
        for folder in (alone, all_of_it):
            folder.bring()
            assert folder.experiments() == {"one": here.folder}
            assert str(folder.place_of(here.folder)) == "s3://sweeps/all/one"


def test_what_is_no_experiment_is_refused_and_a_store_that_is_away_leaves_the_page(
    bucket: ObjectStore, tmp_path: Path
) -> None:
    bucket.put("data/train.jsonl", b"{}")
    with pytest.raises(UserError, match="s3://sweeps/data: no experiment is stored there, nor a folder of some"):
        stored(bucket, "data").bring()
    running(tmp_path / "one", time.time())
    send(tmp_path / "one", bucket, "one")
    said: list[str] = []
    folder = StoredFolder(parse_address("DIR", bucket.address("one")), "DIR", said.append)
    folder.bring()
    bucket.fails = lambda method, path: "busy"

    async def story(client: Client) -> None:
        while not said:
            assert "1 of 4 trials" in (await client.deltas("/e/one"))["parts"]["live-progress"]
            await asyncio.sleep(0.05)

    visit(folder, story)
    assert said == ["DIR s3://sweeps/one: it is not available; pages stay as they are until it can be read again"]
