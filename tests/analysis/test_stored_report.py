"""The report of a stored experiment: sent to its address, or kept here where one may only read."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis import report
from basis.stored import store as store_module
from basis.stored.address import parse_address
from basis.stored.copy import Copy
from basis.stored.store import Store
from tests import synthetic_experiment as synthetic
from tests.object_store import ENVIRONMENT, ObjectStore, object_store


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ObjectStore]:
    """A store with the study at sweeps/study, and a machine that has nothing yet."""
    for name, value in {**ENVIRONMENT, "SFT_SWEEP_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(store_module, "ATTEMPTS", 1)
    with object_store() as store:
        there = Copy(Store(parse_address("--output", store.address("study")), "--output"), tmp_path / "study")
        shutil.copytree(synthetic.directory(), there.folder)
        assert there.push(is_end=True).failed == {}
        yield store


@pytest.mark.slow
def test_a_report_is_sent_and_kept_here_where_that_is_refused(
    bucket: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = bucket.address("study")
    bucket.fails = lambda method, path: "denied" if method in ("PUT", "POST", "DELETE") else None
    code = report.main([address])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    [page] = (tmp_path / "cache").rglob("report.html")
    assert f"\nReport: {page}\n" in printed.out
    [line] = printed.err.splitlines()
    assert line == "the report is kept here, and not sent: EXPERIMENT_DIR s3://sweeps/study: access is denied"
    assert "report/report.html" not in bucket.names("study")

    bucket.fails = lambda method, path: "busy" if method == "PUT" else None
    assert report.main([address, "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1, "the verdict as a document"
    assert "the report is kept here, and not sent: " in printed.err

    bucket.fails = lambda method, path: None
    assert report.main([address]) == 0
    printed = capsys.readouterr()
    assert f"\nReport: s3://sweeps/study/report/report.html, here {page}\n" in printed.out
    assert printed.err == ""
    assert bucket.objects("study")["report/report.html"] == page.read_bytes()
