"""A store for each test of the room, and a machine with an empty disk that may use it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.object_store import ENVIRONMENT, ObjectStore, object_store


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ObjectStore]:
    """A store that this process may use, from a machine with an empty disk."""
    for name, value in {**ENVIRONMENT, "SFT_SWEEP_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    with object_store() as store:
        yield store
