"""sweep.worker.node_watch: a machine that will be taken away is known by a file or by what its cloud says."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sweep.worker import node_watch
from sweep.worker.node_watch import NodeWatch, file_notice, first_notice, sources
from tests.conftest import wait_for

TAKEN = '{"action": "terminate", "time": "2026-11-29T08:22:00Z"}'


class Cloud:
    """A stand-in for the service that tells a machine about itself."""

    def __init__(self) -> None:
        self.aws: str | None = None
        self.google = "FALSE"
        self.token = "first"
        self.asked: list[str] = []


@contextmanager
def served(cloud: Cloud) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_PUT(self) -> None:
            assert self.path == "/latest/api/token"
            assert 0 < int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) <= 21_600
            self._say(200, cloud.token)

        def do_GET(self) -> None:
            cloud.asked.append(self.path)
            if self.path == "/latest/meta-data/spot/instance-action":
                if self.headers["X-aws-ec2-metadata-token"] != cloud.token:
                    self._say(401, "")
                else:
                    self._say(200 if cloud.aws else 404, cloud.aws or "")
            elif self.path == "/computeMetadata/v1/instance/preempted":
                self._say(200 if self.headers["Metadata-Flavor"] == "Google" else 403, cloud.google)
            else:
                self._say(404, "")

        def _say(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of no cloud, and where its file of a notice would be."""
    path = tmp_path / "notice"
    monkeypatch.setenv("SFT_SWEEP_NOTICE", str(path))
    monkeypatch.setattr(node_watch, "MAKER_FILES", ())
    for name in ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "GCE_METADATA_HOST", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers
    return path


def test_aws_says_when_a_spot_instance_ends_also_after_the_token_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud()
    with served(cloud) as address:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{address}/")
        asks = sources()
        assert first_notice(asks) is None
        cloud.token, cloud.aws = "second", TAKEN
        assert first_notice(asks) is None  # the first token is refused; the next time has another
        assert first_notice(asks) == "AWS will terminate it at 2026-11-29T08:22:00Z"


def test_google_says_that_an_instance_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud()
    with served(cloud) as address:
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        asks = sources()
        assert first_notice(asks) is None
        cloud.google = "TRUE"
        assert first_notice(asks) == "Google Cloud is taking it back"


def test_a_machine_of_no_cloud_is_asked_nothing_and_one_of_a_cloud_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sources() == [file_notice]
    vendor = tmp_path / "sys_vendor"
    monkeypatch.setattr(node_watch, "MAKER_FILES", (tmp_path / "absent", vendor))
    for maker, kinds in (("Amazon EC2\n", ["AwsNotice"]), ("Google\n", ["GoogleNotice"]), ("LENOVO\n", [])):
        vendor.write_text(maker)
        assert [type(ask).__name__ for ask in sources()[1:]] == kinds
    vendor.write_text("Amazon EC2\n")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert sources() == [file_notice]


@pytest.mark.parametrize("said", ["no JSON", "[]", "{}"])
def test_a_service_that_is_away_or_says_something_else_is_no_notice(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud()
    cloud.aws = said
    with served(cloud) as address:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{address}")
        asks = sources()
        assert first_notice(asks) is None
        assert cloud.asked
    assert first_notice(asks) is None  # nobody is there any more


def test_a_file_is_a_notice_if_this_user_or_root_has_made_it_lately(no_notice: Path) -> None:
    assert file_notice() is None
    no_notice.touch()
    assert file_notice() == f"{no_notice} says so"
    os.utime(no_notice, (1e9, 1e9))
    assert file_notice() is None
    if os.getuid() == 0:
        no_notice.touch()
        os.chown(no_notice, 12345, 12345)
        assert file_notice() is None


def test_a_watch_hears_of_a_notice_while_it_runs_and_keeps_it(no_notice: Path) -> None:
    watch = NodeWatch([file_notice], every_seconds=0.01)
    assert watch.notice is None
    no_notice.touch()
    wait_for(lambda: watch.notice is not None)
    no_notice.unlink()
    assert watch.notice == f"{no_notice} says so"
