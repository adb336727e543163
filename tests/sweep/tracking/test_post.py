"""Posts reach whoever answers, are repeated where that may help, and never follow a redirect or show the URL."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sweep.tracking import post as posting
from sweep.tracking.post import NotPostedError, post

Answer = tuple[int, dict[str, str]]


@contextmanager
def hook(*answers: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on loopback that gives these answers in turn, the last one for ever; its URL, and what came."""
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append({"path": self.path, "body": body, "login": self.headers.get("Authorization")})
            code, headers = answers[min(len(came), len(answers)) - 1]
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/secret", came
    finally:
        server.shutdown()
        server.server_close()


def test_a_body_is_posted_again_until_the_server_is_well() -> None:
    waits: list[float] = []
    with hook((500, {}), (503, {}), (200, {})) as (url, came):
        post(url, {"text": "ended"}, sleep=waits.append)
    assert [one["body"] for one in came] == [b'{"text": "ended"}'] * 3
    assert waits == [1.0, 2.0]


def test_a_server_is_left_alone_as_long_as_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with hook((429, {"Retry-After": "7"}), (200, {})) as (url, came):
        post(url, {})
    assert (waits, len(came)) == ([7.0], 2)
    with hook((429, {"Retry-After": "86400"})) as (url, came), pytest.raises(NotPostedError, match="86400 s"):
        post(url, {})
    assert len(came) == 1


def test_a_redirect_is_not_followed() -> None:
    refused = pytest.raises(NotPostedError, match="a redirect, which is not followed")
    with hook((200, {})) as (elsewhere, came), hook((302, {"Location": elsewhere})) as (url, _), refused:
        post(url, {})
    assert came == []


def test_what_no_repetition_mends_is_said_at_once_without_the_url() -> None:
    with hook((404, {})) as (url, came), pytest.raises(NotPostedError) as refused:
        post(url, {})
    assert len(came) == 1
    assert str(refused.value) == "127.0.0.1 answers 404"


def test_nobody_listening_a_bad_certificate_and_silence_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotPostedError, match=r"127\.0\.0\.1 can't be reached"):
        post("http://127.0.0.1:9/secret", {}, sleep=lambda _: None)
    with hook((200, {})) as (url, came), pytest.raises(NotPostedError, match="can't be reached"):
        post(url.replace("http:", "https:"), {}, sleep=lambda _: None)
    assert came == []
    monkeypatch.setattr(posting, "ANSWER_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/secret"
        with pytest.raises(NotPostedError, match="no answer in time"):
            post(url, {}, sleep=lambda _: None)


def test_a_login_in_the_url_is_sent_as_one() -> None:
    with hook((200, {})) as (url, came):
        post(url.replace("http://", "http://user:p%40ss@"), {})
    assert came[0]["login"] == "Basic dXNlcjpwQHNz"


def test_no_try_begins_after_the_time_is_up() -> None:
    with hook((500, {})) as (url, came), pytest.raises(NotPostedError):
        post(url, {}, sleep=lambda _: None, until=lambda: time.monotonic())
    assert len(came) == 1
