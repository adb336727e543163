"""A stored sweep is sent to trackers by its address, and what they have of it is noted where it lies."""

from pathlib import Path

import pytest
import yaml

from basis.stored.address import parse_address
from basis.stored.claim import claimed
from basis.stored.copy import Copy
from basis.stored.store import Store
from sweep import track
from tests.object_store import ObjectStore
from tests.sweep.steering.test_desk import SPEC
from tests.sweep.tracking.test_follow import row, started, write


def test_what_trackers_have_is_noted_in_the_store(
    bucket: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    address = bucket.address("tracked")
    store = Store(parse_address("DIR", address), "DIR")
    made = tmp_path / "made"
    (made / "one").mkdir(parents=True)
    (made / "one" / "trained.safetensors").write_bytes(b"weights")
    (made / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    write(made, started("one"), row("one", 0, 4.0), row("one", 3, 3.0))
    assert Copy(store, made).push(is_end=True).failed == {}

    assert track.main([address, "--to", "tensorboard"]) == 0
    sent = bucket.objects("tracked")
    assert b'"step": 3' in sent["tracking/tensorboard.json"]
    [curves] = [name for name in sent if name.startswith("one/events.out.tfevents")]
    assert "one/trained.safetensors" in sent
    assert not list((tmp_path / "cache").rglob("*.safetensors"))

    monkeypatch.setenv("SFT_SWEEP_CACHE", str(tmp_path / "another machine"))
    assert track.main([address, "--to", "tensorboard"]) == 0
    again = bucket.objects("tracked")
    assert [name for name in again if name.startswith("one/events.out.tfevents")] == [curves], "nothing is sent twice"
    assert again[curves] == sent[curves]

    with claimed(store, "--output"):
        assert track.main([address, "--to", "tensorboard"]) == 2
    assert "another sweep writes there" in capsys.readouterr().err
