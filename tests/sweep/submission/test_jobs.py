"""A submitted sweep from afar: followed, stopped as by Ctrl-C, resumed, and fetched without its disk."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from basis.directory import CHECKPOINT_FILE, INPUTS_DIR, REPORT_DIR, SPEC_FILE
from basis.packages import ROOT
from sweep.jobs import main
from tests.conftest import PATIENCE_SECONDS, Parts, wait_for
from tests.sweep.submission.conftest import Head
from tests.sweep.test_interrupted_sweeps import LONG
from tests.sweep.test_json_output import documents


def entrypoint(head: Head, job: str) -> str:
    """The command of a job, as Ray's own interface tells it."""
    token = {"Authorization": f"Bearer {(head.folder / 'token').read_text(encoding='utf-8')}"}
    with urllib.request.urlopen(urllib.request.Request(f"{head.url}/api/jobs/{job}", headers=token)) as answer:
        return str(json.load(answer)["entrypoint"])


@pytest.mark.slow
def test_a_sweep_is_followed_stopped_resumed_and_fetched_from_afar(
    head: Head, parts: Parts, tmp_path: Path, shared: Path
) -> None:
    spec, output = parts.write_spec(tmp_path, trial={**LONG, "steps": 10**6}, checkpoint_seconds=0), shared / "out"
    on = ("--cluster", head.url)
    [sent] = documents(head.run("sweep.submit", spec, *on, "--output", output, "--max-trials", 2, "--json").stdout)
    watching = subprocess.Popen(
        [sys.executable, "-m", "sweep.jobs", "watch", sent.job.id, *on, "--json"],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=head.environment,
    )  # fmt: skip
    wait_for(lambda: len(list(output.glob(f"*/{CHECKPOINT_FILE}"))) == 2)

    [far] = documents(head.run("sweep.jobs", "status", sent.job.id, *on, "--json").stdout)
    assert (far.job.state, far.sweep.running, far.sweep.counts.running) == ("running", True, 2)
    stopped = head.run("sweep.jobs", "stop", sent.job.id, *on)
    assert stopped.returncode == 0, stopped.stderr
    assert f"{sent.job.id}: resumable (exit code 130); tiny in {output}" in stopped.stdout
    assert f"continue with: python -m sweep.jobs resume {sent.job.id}" in stopped.stdout
    assert (output / REPORT_DIR / "report.html").is_file()
    told, _ = watching.communicate(timeout=PATIENCE_SECONDS)
    assert {"sweep", "start", "row", "over"} <= {document.event for document in documents(told)}
    log = head.run("sweep.jobs", "logs", sent.job.id, "--follow", *on).stdout
    assert "0 finished, 0 failed, 2 interrupted" in log

    [resumed] = documents(head.run("sweep.jobs", "resume", sent.job.id, *on, "--json").stdout)
    assert resumed.job.id != sent.job.id
    assert entrypoint(head, resumed.job.id).endswith(f"{output} --max-trials 2")
    [same] = documents(head.run("sweep.jobs", "resume", sent.job.id, *on, "--json").stdout)
    assert same.job.id == resumed.job.id
    [ended] = documents(head.run("sweep.jobs", "stop", resumed.job.id, *on, "--json").stdout)
    assert ended.job.state == "resumable"
    [listed] = documents(head.run("sweep.jobs", "list", *on, "--json").stdout)
    assert [job.id for job in listed.jobs if job.output == str(output)] == [resumed.job.id, sent.job.id]

    fetched = head.run("sweep.jobs", "fetch", sent.job.id, tmp_path / "got", *on)
    assert fetched.returncode == 0, fetched.stderr
    here = {path.relative_to(tmp_path / "got") for path in (tmp_path / "got").rglob("*") if path.is_file()}
    there = {path.relative_to(output) for path in output.rglob("*") if path.is_file()}
    left = {path for path in there if path.parts[0] == INPUTS_DIR or path.name in (CHECKPOINT_FILE, "sweep.lock")}
    assert here == there - left
    assert (tmp_path / "got" / SPEC_FILE).read_bytes() == (output / SPEC_FILE).read_bytes()
    again = head.run("sweep.jobs", "fetch", sent.job.id, tmp_path / "got", *on)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "is not an empty directory" in again.stderr
    unknown = head.run("sweep.jobs", "stop", "raysubmit_none", *on)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "raysubmit_none: no sweep of this id" in unknown.stderr
    logs = (head.folder / "ray" / "session_latest" / "logs").glob("job-driver-*")
    assert max(path.stat().st_size for path in logs) < 50_000  # nothing of what was fetched stays there


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lits"], "argument ACTION: invalid choice: 'lits'"),
        (["stop"], "the following arguments are required: ID"),
        (["fetch", "x", "s3://bucket/x"], "FOLDER s3://bucket/x: is no folder of this machine"),
        (["list", "--cluster", "http://127.0.0.1:1"], "no Ray cluster answers there"),
    ],
)
def test_what_is_mistyped_ends_in_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert message in captured.err
