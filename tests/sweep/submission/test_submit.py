"""Submitting to a real head: what can't run there is refused in one line and leaves nothing; what can, is one sweep."""

import http.server
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from basis.directory import FINISHED_FILE, INPUTS_DIR, SPEC_FILE, SWEEP_FILE
from sweep.submit import main
from tests.conftest import PATIENCE_SECONDS, Parts
from tests.sweep.submission.conftest import SECRET, Head
from tests.sweep.test_json_output import documents


def await_job(head: Head, job: str, output: Path, seconds: float = PATIENCE_SECONDS) -> str:
    """Wait until the job has ended; returns its log."""
    logs = head.folder / "ray" / "session_latest" / "logs" / f"job-driver-{job}.log"
    end = time.monotonic() + seconds
    while not any(word in (text := logs.read_text() if logs.exists() else "") for word in ("interrupted\n", "error:")):
        assert time.monotonic() < end, text
        time.sleep(0.2)
    return text


@pytest.mark.slow
def test_a_sweep_is_submitted_with_its_files_and_the_same_command_later_is_the_same_sweep(
    head: Head, parts: Parts, tmp_path: Path, shared: Path
) -> None:
    spec, output = parts.write_spec(tmp_path), shared / "out"
    words = (spec, "--cluster", head.url, "--output", output, "--env", "HF_TOKEN", "--max-trials", 1, "--json")
    first = head.run("sweep.submit", *words, HF_TOKEN=SECRET)
    assert first.returncode == 0, first.stderr
    [told] = documents(first.stdout)
    assert (told.document, told.job.name, told.job.output) == ("job", "tiny", str(output))
    assert told.job.state in ("waiting", "running")
    at_once = head.run("sweep.submit", *[word for word in words if word not in ("--max-trials", 1)], HF_TOKEN=SECRET)
    [same] = documents(at_once.stdout)
    assert same.job.id == told.job.id
    assert "it goes on as it was submitted: --max-trials 1, not without limits" in at_once.stderr
    assert "2 finished, 0 failed" in await_job(head, told.job.id, output)
    assert len(list(output.glob(f"*/{FINISHED_FILE}"))) == 2
    kept = (output / SPEC_FILE).read_text(encoding="utf-8")
    begun_by = json.loads((output / SWEEP_FILE).read_text(encoding="utf-8"))["command"]
    kept_spec = output / INPUTS_DIR / SPEC_FILE
    assert begun_by.startswith(f"python -m sweep.run {kept_spec} --output {output} --or-resume --max-trials 1")
    assert str(tmp_path) not in kept
    assert str(parts.train) not in kept
    assert len(list((output / INPUTS_DIR).glob("*/*"))) == 5  # data, prompts, base and reward model

    moved = shutil.copytree(parts.train.parent, tmp_path / "moved")  # the same files elsewhere, as on another machine
    again = parts.write_spec(tmp_path)
    again.write_text(again.read_text().replace(str(parts.train.parent), str(moved)), encoding="utf-8")
    later = head.run("sweep.submit", *words)
    assert later.returncode == 2
    assert "error: --env HF_TOKEN: is not set here" in later.stderr
    [resumed] = documents(head.run("sweep.submit", *words, HF_TOKEN=SECRET).stdout)
    assert resumed.job.id != told.job.id
    assert "2 finished, 0 failed" in await_job(head, resumed.job.id, output)
    assert len(json.loads((output / SWEEP_FILE).read_text(encoding="utf-8"))["continued"]) == 1
    assert (output / SPEC_FILE).read_text(encoding="utf-8") == kept

    changed = head.run("sweep.submit", *words, "--set", "trial.steps=9", HF_TOKEN=SECRET)
    [other] = documents(changed.stdout)
    assert "holds another sweep: trial.steps is 6 there and 9 here" in await_job(head, other.job.id, output)
    files = [path for folder in (head.folder, shared) for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


@contextmanager
def answering(text: bytes) -> Iterator[str]:
    """A server that is none of Ray's jobs, and what it answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error.strip().removeprefix("error: ")


def test_what_is_no_cluster_of_our_ray_is_refused_in_one_line(
    parts: Parts, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    spec = parts.write_spec(tmp_path)
    to = (spec, "--output", "/shared/out")
    assert refused(capsys, *to).startswith("--cluster is missing, and RAY_API_SERVER_ADDRESS is not set; accepted: the")
    assert "is no address of a job server" in refused(capsys, *to, "--cluster", "127.0.0.1:6379")
    assert "no Ray cluster answers there" in refused(capsys, *to, "--cluster", "http://127.0.0.1:1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://user:p4ssw0rd@127.0.0.1:{silent.getsockname()[1]}"
        assert "timed out" in refused(capsys, *to, "--cluster", url.replace("user:p4ssw0rd@", ""))
        said = refused(capsys, *to, "--cluster", url)
        assert "has a login in it" in said
        assert "p4ssw0rd" not in said
    with answering(b"<html>") as url:
        assert "no Ray cluster answers there" in refused(capsys, *to, "--cluster", url)
    with answering(b'{"ray_version": "2.9.1"}') as url:
        assert "runs Ray 2.9.1, and here is Ray" in refused(capsys, *to, "--cluster", url)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "s4://bucket/out"], "--output s4://bucket/out: s4:// is no storage that is known; accepted: the"),
        (["--output", "out"], "--output 'out': is no absolute path; accepted: the absolute path of a folder that all"),
        (["--output", "/x", "--env", "HF_TOKEN=abc"], "--env HF_TOKEN: is not accepted; accepted: a variable's name"),
        (["--output", "/x", "--env", "RAY_AUTH_TOKEN"], "--env RAY_AUTH_TOKEN: is not sent, since the cluster has its"),
        (["--output", "/x", "--set", "trial.steps=x"], "trial.steps: 'x' is not accepted"),
        (["--output", "/x", "--set", "data.train=/none/here.jsonl", "--set", "notify=$NONE"], "notify: $NONE does not"),
    ],
)
def test_bad_words_are_refused_before_a_cluster_is_asked(
    words: list[str], message: str, parts: Parts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, parts.write_spec(tmp_path), *words, "--cluster", "http://127.0.0.1:1")


@pytest.mark.slow
def test_what_the_cluster_lacks_is_refused_in_one_line_and_nothing_is_left(
    head: Head, parts: Parts, tmp_path: Path, shared: Path
) -> None:
    spec = parts.write_spec(tmp_path)
    (shared / "foreign").mkdir()
    (shared / "foreign" / "thesis.txt").touch()
    (shared / "file").touch()
    before = sorted(shared.rglob("*"))
    for words, message in (
        ((shared / "out", "--set", "resources.cpu=64"), "resources.cpu: 64 is more than any node of the cluster has"),
        ((shared / "foreign",), "is not an empty directory"),
        ((shared / "file" / "out",), "can't be written to (Not a directory)"),
        ((shared / "out", "--set", "data.train=/none/here.jsonl"), "/none/here.jsonl: lies neither on this machine"),
    ):
        ran = head.run("sweep.submit", spec, "--cluster", head.url, "--output", *words)
        assert ran.returncode == 2, ran.stdout
        assert ran.stderr.count("\n") == 1, ran.stderr
        assert message in ran.stderr
    wrong = head.folder / "wrong"
    wrong.write_text("0" * 64, encoding="utf-8")
    ran = head.run(
        "sweep.submit", spec, "--cluster", head.url, "--output", shared / "out", RAY_AUTH_TOKEN_PATH=str(wrong)
    )
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert "asks for a token" in ran.stderr
    assert sorted(shared.rglob("*")) == before
