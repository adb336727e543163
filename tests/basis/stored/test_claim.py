"""One sweep at a time writes to a folder in object storage."""

from pathlib import Path
from threading import Event

import pytest

from basis.errors import UserError
from basis.stored import claim as claim_module
from basis.stored.claim import CLAIM_FILE, claim, claimed, keep_claim, release
from basis.stored.places import ALL, brought
from basis.stored.store import Store
from tests.basis.stored.test_store import store_at
from tests.object_store import ObjectStore


@pytest.fixture
def store(bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(claim_module, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(claim_module, "RENEW_SECONDS", 0.05)
    monkeypatch.setenv("SFT_SWEEP_CACHE", str(tmp_path / "cache"))
    return store_at(bucket.address(tmp_path.name))


def test_a_second_claim_is_refused_until_the_first_is_given_back(store: Store) -> None:
    mine = claim(store, "--output")
    with pytest.raises(UserError, match="another sweep writes there"):
        claim(store, "--output")
    release(store, "of somebody else")
    assert store.read(CLAIM_FILE) == mine.encode()
    release(store, mine)
    assert claim(store, "--output") != mine


def test_a_claim_that_nobody_renews_is_void_by_the_stores_clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    former = claim(store, "--output")
    monkeypatch.setattr(claim_module, "CLAIM_SECONDS", -1.0)
    mine = claim(store, "--output")
    assert store.read(CLAIM_FILE) == mine.encode() != former.encode()


def test_who_finds_another_claim_in_its_place_has_lost_and_leaves_it(store: Store) -> None:
    mine, is_over, is_lost = claim(store, "--output"), Event(), Event()
    store.write(CLAIM_FILE, b"another")
    keep_claim(store, mine, is_over, is_lost)
    assert is_lost.is_set()
    release(store, mine)
    assert store.read(CLAIM_FILE) == b"another"


def test_who_changes_all_of_an_experiment_waits_for_no_sweep_and_a_reader_needs_no_claim(store: Store) -> None:
    store.write("spec.yaml", b"spec")
    with claimed(store, "--output"):
        with brought(store.address, "DIR", lambda name: True) as folder:
            assert (folder / "spec.yaml").read_text() == "spec"
        refused = pytest.raises(UserError, match="another sweep writes there")
        with refused, brought(store.address, "DIR", lambda name: True, ALL):
            pass
    assert store.read(CLAIM_FILE) is None


def test_what_was_changed_while_another_took_the_place_is_not_sent(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim_module, "RENEW_SECONDS", 100.0)  # the store itself is asked before anything is sent
    store.write("spec.yaml", b"spec")
    taken = pytest.raises(UserError, match="a sweep has begun to write there; nothing is sent")
    with taken, brought(store.address, "DIR", lambda name: True, ALL) as folder:
        (folder / "spec.yaml").write_text("changed")
        store.write(CLAIM_FILE, b"another")
    assert store.read("spec.yaml") == b"spec"
    assert store.read(CLAIM_FILE) == b"another"
