"""A Ray head with its job server, on loopback alone; the processes that are started are ended, and no others."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from basis.packages import ROOT
from sweep.cluster.environment import LOCAL
from tests.conftest import PATIENCE_SECONDS
from tests.object_store import ENVIRONMENT

SECRET = "hf_" + "S3cretOfTheTests" * 2


@dataclass(frozen=True)
class Head:
    """A cluster of one node.

    Attributes:
        url: of its job server.
        folder: of its files, and of its token.
        environment: in which a command finds the token.
    """

    url: str
    folder: Path
    environment: dict[str, str]

    def run(self, module: str, *words: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        """A command of ours in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, words)],
            capture_output=True, text=True, cwd=ROOT, env={**self.environment, **variables}, timeout=PATIENCE_SECONDS,
        )  # fmt: skip


def free_ports(count: int) -> list[int]:
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in listening]
    for one in listening:
        one.close()
    return ports


@dataclass(frozen=True)
class Ground:
    """Where heads run, one after another: their folder with their token, and their ports."""

    folder: Path
    ports: list[int]

    @property
    def environment(self) -> dict[str, str]:
        """In which a head runs, and a command finds the token."""
        programs = str(Path(sys.executable).parent)
        unset = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "SFT_SWEEP_CACHE")
        return {
            **{name: value for name, value in os.environ.items() if name not in unset},
            **LOCAL,
            **ENVIRONMENT,
            "PATH": os.pathsep.join([programs, os.environ["PATH"]]),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "COLUMNS": "160",
        }

    def start(self) -> tuple[Head, "subprocess.Popen[str]"]:
        """A head that declares two CPUs, and its process."""
        port, jobs, agent, client = self.ports
        words = ["start", "--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--num-cpus=2", "--num-gpus=0"]
        words += ["--dashboard-host=127.0.0.1", f"--dashboard-port={jobs}", f"--dashboard-agent-listen-port={agent}"]
        words += [f"--ray-client-server-port={client}", f"--temp-dir={self.folder / 'ray'}", "--disable-usage-stats"]
        started = subprocess.Popen(
            [Path(sys.executable).with_name("ray"), *words, "--block"],
            env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert started.stdout is not None
        assert any("Ray runtime started" in line for line in started.stdout)
        return Head(f"http://127.0.0.1:{jobs}", self.folder, self.environment), started


@contextmanager
def some_ground() -> Iterator[Ground]:
    """What runs there is to have ended by the end."""
    folder = Path(tempfile.mkdtemp(prefix="sft-", dir="/tmp"))  # of few letters, for Ray's sockets
    (folder / "token").write_text(secrets.token_hex(32), encoding="utf-8")
    try:
        yield Ground(folder, free_ports(4))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """A head that declares two CPUs, and asks for a token."""
    with some_ground() as ground:
        head, process = ground.start()
        try:
            yield head
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that stands for storage of the cluster."""
    folder = Path(tempfile.mkdtemp(prefix="sft-shared-"))
    yield folder
    shutil.rmtree(folder)
