"""One store for all tests of the room, each in a folder of its own."""

from collections.abc import Iterator

import pytest

from tests.object_store import ENVIRONMENT, ObjectStore, object_store


@pytest.fixture(scope="session")
def one_store() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def bucket(one_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    yield one_store
    one_store.fails = lambda method, path: None
    one_store.seen.clear()
