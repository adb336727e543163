"""Whole objects over real HTTP, and what is said when the store refuses, is busy or is not there."""

import os
from pathlib import Path

import pytest

from basis.stored import store as store_module
from basis.stored.address import parse_address
from basis.stored.store import CHUNK_BYTES, Store, StoreError
from tests.object_store import ObjectStore


def store_at(address: str) -> Store:
    return Store(parse_address("--output", address), "--output")


def test_objects_are_written_listed_read_and_deleted_as_files_are(bucket: ObjectStore, tmp_path: Path) -> None:
    store = store_at(bucket.address("whole"))
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"small")
    large.write_bytes(os.urandom(2 * CHUNK_BYTES + 7))
    names = {"a/ä name with spaces + plus": small, "b/large": large, "empty": tmp_path / "empty"}
    names["empty"].touch()
    for name, path in names.items():
        assert store.put(name, path) == path.stat().st_size
    assert bucket.objects("whole") == {name: path.read_bytes() for name, path in names.items()}
    assert {name: stamp.size for name, stamp in store.list().items()} == {
        name: path.stat().st_size for name, path in names.items()
    }
    for name, path in names.items():
        store.get(name, tmp_path / "back" / name)
        assert (tmp_path / "back" / name).read_bytes() == path.read_bytes()
    assert store.read("nothing") is None
    with pytest.raises(FileNotFoundError):
        store.get("nothing", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    for name in names:
        store.delete(name)
        store.delete(name)
    assert store.list() == {}


def test_requests_are_counted_as_the_store_sees_them(bucket: ObjectStore, tmp_path: Path) -> None:
    store = store_at(bucket.address("counted"))
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "large").write_bytes(bytes(2 * CHUNK_BYTES + 7))
    store.put("small", tmp_path / "small")
    assert len(bucket.seen) == store.requests.total() == 1
    store.put("large", tmp_path / "large")
    store.list()
    store.read("small")
    store.delete("small")
    assert store.requests.total() == pytest.approx(len(bucket.seen), abs=3), bucket.seen  # as pyarrow cuts its parts


@pytest.mark.parametrize("failure", ["busy", "cut"])
def test_a_request_that_fails_is_tried_again(bucket: ObjectStore, tmp_path: Path, failure: str) -> None:
    store, left = store_at(bucket.address(failure)), [2]
    (tmp_path / "file").write_bytes(b"x" * 100_000)

    def fails(method: str, path: str) -> str | None:
        left[0] -= method == "PUT"
        return failure if method == "PUT" and left[0] >= 0 else None

    bucket.fails = fails
    store.put("file", tmp_path / "file")
    assert bucket.objects(failure) == {"file": b"x" * 100_000}


def test_a_store_that_stays_away_is_told_after_some_attempts_and_leaves_the_former_object(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "ATTEMPTS", 3)
    store = store_at(bucket.address("away"))
    (tmp_path / "file").write_bytes(b"new")
    bucket.put("away/file", b"old")
    bucket.seen.clear()
    bucket.fails = lambda method, path: "busy"
    with pytest.raises(StoreError, match=r"^--output s3://sweeps/away: it is not available$") as told:
        store.put("file", tmp_path / "file")
    assert not told.value.is_final
    assert len(bucket.seen) == 3
    bucket.fails = lambda method, path: None
    assert bucket.objects("away") == {"file": b"old"}


def test_what_a_store_refuses_is_said_in_a_line(bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "ATTEMPTS", 2)
    for address, said, is_final in (
        (bucket.address("x").replace("sweeps", "no-such-bucket"), "there is no such bucket", True),
        ("s3://sweeps/x?endpoint_override=http://127.0.0.1:9", "it can't be reached", False),
    ):
        with pytest.raises(StoreError) as told:
            store_at(address).check_writable()
        assert str(told.value) == f"--output {address.partition('?')[0]}: {said}"
        assert told.value.is_final == is_final
    stamp = store_at(bucket.address("x")).check_writable()
    assert stamp.mtime_ns > 0
    assert bucket.objects("x") == {}, "nothing is left behind"
