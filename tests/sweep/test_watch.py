"""The command that serves a live page, as a process: what it prints, how it ends, and what it refuses."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from basis.directory import RESULT_FILE, SPEC_FILE
from basis.packages import ROOT
from tests.conftest import PATIENCE_SECONDS


@contextmanager
def watching(*words: str, **options: int) -> Iterator["subprocess.Popen[str]"]:
    environment = {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}
    command = [sys.executable, "-m", "sweep.watch", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=environment, **options) as server:  # type: ignore[call-overload]
        try:
            yield server
        finally:
            server.kill()


def printed(server: "subprocess.Popen[str]") -> tuple[str, int]:
    """The address with its token, and the port, from the lines that a server prints first."""
    assert server.stdout is not None
    lines = [server.stdout.readline() for _ in range(4)]
    [address] = re.findall(r"http://127\.0\.0\.1:\d+/\?token=\S+", lines[1])
    port = int(re.findall(r":(\d+)/", address)[0])
    assert f"ssh -N -L {port}:127.0.0.1:{port} USER@HOST" in lines[2]
    return address, port


def test_two_servers_find_a_port_each_and_end_by_ctrl_c(tmp_path: Path) -> None:
    with watching(str(tmp_path)) as first, watching(str(tmp_path)) as second:
        addresses = [printed(first), printed(second)]
        assert addresses[0][1] != addresses[1][1]
        with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(addresses[0][0]) as page:
            assert page.url == f"http://127.0.0.1:{addresses[0][1]}/"
            assert "token" not in page.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(addresses[0][0])
        for server in (first, second):
            server.send_signal(signal.SIGINT)
            assert server.wait(PATIENCE_SECONDS) == 0
            assert server.stderr is not None
            assert server.stderr.read() == ""


def test_a_server_beside_a_sweep_waits_for_the_directory_and_ends_with_its_input(tmp_path: Path) -> None:
    with watching(str(tmp_path / "later"), "--beside", stdin=subprocess.PIPE) as server:
        printed(server)
        assert server.stdout is not None
        assert server.stdout.read() == ""  # it has closed what it prints to
        assert server.stdin is not None
        server.stdin.close()
        assert server.wait(PATIENCE_SECONDS) == 0


def test_what_can_not_be_served_is_refused_in_a_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sweep = tmp_path / "sweep"
        (sweep / "trial").mkdir(parents=True)
        (sweep / SPEC_FILE).touch()
        (sweep / "trial" / RESULT_FILE).touch()
        refusals = {
            (str(sweep / "trial"),): f"trial is a trial's directory; give that of its sweep: {sweep}",
            (str(tmp_path), "--port", str(port)): f"--port {port}: can't listen there (Address already in use)",
            (str(tmp_path), "--host", "0.0.0.0"): "--host '0.0.0.0' is not accepted",
            (str(tmp_path), "--host", "no.such.host.invalid"): "--host no.such.host.invalid: can't listen there",
            (str(tmp_path / "none"),): "is not a directory; give that of an experiment, or a folder of several",
            (str(tmp_path), "--prot", "1"): "unrecognized arguments: --prot 1; --help tells what is accepted",
        }
        for words, said in refusals.items():
            with watching(*words) as server:
                out, errors = server.communicate(timeout=PATIENCE_SECONDS)
            assert (server.returncode, out) == (2, "")
            assert errors.count("\n") == 1
            assert said in errors
