"""From Python, a sweep whose results go to object storage: run, gone on with, and read."""

from pathlib import Path

import pytest

from basis.errors import UserError
from sweep import load_results, resume, run
from tests.conftest import Parts
from tests.object_store import ENVIRONMENT, object_store


@pytest.mark.slow
def test_a_sweep_is_run_and_gone_on_with_at_an_address(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**ENVIRONMENT, "SFT_SWEEP_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    spec = parts.spec(reward={"model": None})
    with object_store() as bucket:
        address = bucket.address("from/python")
        results = run(spec, address)
        assert sorted(results.trials["arm"]) == ["full adamw", "lora r2 sgd"]
        assert "report/report.html" in bucket.names("from/python")
        assert not list(results.directory.glob("*/trained.safetensors")), "they are in the store by now"

        monkeypatch.setenv("SFT_SWEEP_CACHE", str(tmp_path / "another machine"))
        again = resume(address)
        assert again.directory != results.directory
        assert again.trials["test_loss"].tolist() == results.trials["test_loss"].tolist()
        assert not list((tmp_path / "another machine").rglob("trained.safetensors")), "all trials have finished"
        assert load_results(address).best().arm.label == results.best().arm.label

        with pytest.raises(UserError, match="is not empty; name a new folder"):
            run(spec, address)
    assert "stored: " in capfd.readouterr().out
    with pytest.raises(UserError, match=r"output s4://from/python: unknown scheme s4"):
        run(spec, "s4://from/python")
