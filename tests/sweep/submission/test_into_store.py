"""A sweep is submitted into object storage: the cluster and this machine share nothing else."""

import json
from pathlib import Path

import pytest

from basis.directory import FINISHED_FILE, INPUTS_DIR, SPEC_FILE, TRAINED_FILE
from sweep.submission.output import inputs_folder
from tests.conftest import Parts
from tests.object_store import BUCKET, object_store
from tests.sweep.submission.conftest import Head
from tests.sweep.test_json_output import documents


@pytest.mark.slow
def test_a_sweep_is_submitted_into_a_store_told_of_fetched_and_gone_on_with(
    head: Head, parts: Parts, tmp_path: Path
) -> None:
    spec = parts.write_spec(tmp_path)
    with object_store() as store:
        output = store.address("out")
        words = (spec, "--cluster", head.url, "--output", output, "--json")
        first = head.run("sweep.submit", *words)
        assert first.returncode == 0, first.stderr
        [told] = documents(first.stdout)
        assert told.job.output == output
        on = (told.job.id, "--cluster", head.url)
        log = head.run("sweep.jobs", "logs", *on, "--follow").stdout
        assert "2 finished, 0 failed" in log, log
        names = store.names("out")
        assert sum(name.endswith(f"/{FINISHED_FILE}") for name in names) == 2
        assert sum(name.endswith(f"/{TRAINED_FILE}") for name in names) == 2
        assert sum(name.startswith(f"{INPUTS_DIR}/") for name in names) > 5  # data, prompts, and files of two models
        begun_by = json.loads(store.objects("out")["sweep.json"])["command"]
        assert begun_by.startswith(f"python -m sweep.run {inputs_folder(output) / SPEC_FILE} --output")

        [far] = documents(head.run("sweep.jobs", "status", *on, "--json").stdout)
        assert (far.job.state, far.sweep.running, far.sweep.counts.finished) == ("done", False, 2)
        fetched = head.run("sweep.jobs", "fetch", told.job.id, tmp_path / "got", "--cluster", head.url)
        assert fetched.returncode == 0, fetched.stderr
        assert len(list((tmp_path / "got").glob(f"*/{FINISHED_FILE}"))) == 2
        assert not list((tmp_path / "got").rglob(TRAINED_FILE))

        for path in inputs_folder(output).rglob("*"):  # as on a head that has never seen the sweep
            if path.is_file():
                path.unlink()
        [resumed] = documents(head.run("sweep.jobs", "resume", *on, "--json").stdout)
        assert resumed.job.id != told.job.id
        log = head.run("sweep.jobs", "logs", resumed.job.id, "--cluster", head.url, "--follow").stdout
        assert "2 finished, 0 failed" in log, log
        [same] = documents(head.run("sweep.submit", *words).stdout)
        assert "2 finished" in head.run("sweep.jobs", "logs", same.job.id, "--cluster", head.url, "--follow").stdout


@pytest.mark.slow
def test_a_store_that_the_cluster_cant_use_is_refused_before_anything_is_sent(
    head: Head, parts: Parts, tmp_path: Path
) -> None:
    spec = parts.write_spec(tmp_path)
    with object_store() as store:
        store.put("other/somebody.txt", b"else's")
        for output, why in (
            (store.address("out").replace(BUCKET, "nowhere"), "there is no such bucket"),
            (store.address("other"), "is not empty; name a new folder"),
            ("s4://sweeps/out", "s4:// is no storage that is known; accepted: the absolute path of a folder"),
        ):
            refused = head.run("sweep.submit", spec, "--cluster", head.url, "--output", output)
            assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
            assert why in refused.stderr
