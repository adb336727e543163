"""A stand-in for the Hugging Face hub on loopback: its HTTP protocol over repositories held in memory.

    with StandInHub([Repository("gpt2", "model", {"config.json": b"..."})]) as hub:
        subprocess.run(..., env={**os.environ, "HF_ENDPOINT": hub.endpoint})

What clients rely on is as on the real hub: commits in `X-Repo-Commit`, ETags, ranges, large files behind a redirect
with `X-Linked-Etag`, error codes in `X-Error-Code`, and 401 for what may be missing or private.
"""

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.uploads import Uploads

Kind = Literal["model", "dataset"]
LARGE_BYTES = 64 * 1024
"""Files from here on are stored as the real hub stores weights: behind a redirect, named by their SHA-256."""

TOKEN = "hf_readsGatedRepositories"


@dataclass
class Repository:
    """One repository: the files of each commit, and the branches and tags that point at commits.

    Attributes:
        name: "owner/name", or a name alone as the oldest models have.
        kind: "model" or "dataset".
        files: those of the newest commit, which `main` points at.
        gated: files are given to those who send TOKEN alone; what there is can be seen by all.
        commits: all commits by their hash, oldest first.
        revisions: branches and tags by name.
    """

    name: str
    kind: Kind
    files: dict[str, bytes]
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit(self.files)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit that holds `files`, and let `main` point at it."""
        self.files = files
        content = [(name, _sha1(data)) for name, data in sorted(files.items())]
        commit = hashlib.sha1(json.dumps([self.name, len(self.commits), content]).encode()).hexdigest()
        self.commits[commit] = files
        self.revisions["main"] = commit
        return commit

    @property
    def main(self) -> str:
        """The commit that `main` points at."""
        return self.revisions["main"]


@dataclass
class Faults:
    """What goes wrong with the files whose path ends in `path`.

    Attributes:
        break_after_bytes: the connection is closed after so many bytes of the body.
        times: how often, after which all is well.
        status: this status is answered instead of the file.
        pause_seconds: the body comes in eight pieces with such a pause before each.
    """

    path: str
    break_after_bytes: int | None = None
    times: int = 10**9
    status: int | None = None
    pause_seconds: float = 0.0


class StandInHub:
    """Serves repositories while it is used as a context manager; `endpoint` is what HF_ENDPOINT is set to."""

    def __init__(self, repositories: Sequence[Repository]) -> None:
        self.repositories = {(r.kind, r.name): r for r in repositories}
        self.faults: list[Faults] = []
        self.uploads = Uploads()
        """What was pushed."""
        self.requests: list[str] = []
        """Method and path of every request, in order."""
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self)) for _ in range(2)]
        self.endpoint, self.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)
        """The hub itself, and the other host that it sends clients to for large files."""

    def __enter__(self) -> "StandInHub":
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def repository(self, name: str, kind: Kind = "model") -> Repository:
        """One of the repositories."""
        return self.repositories[kind, name]


def _handler_of(hub: StandInHub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        stand_in = hub

    return Handler


class _RefusedError(Exception):
    """An answer that is no success: status, error code, message."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandInHub
    headers: Message

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.stand_in.requests.append(f"{self.command} {self.path}")
        path = unquote(urlsplit(self.path).path)
        try:
            if path.startswith("/api/") and (fault := self._fault(path)) and fault.status:
                raise _RefusedError(fault.status, "", "Something went wrong")
            if "Authorization" in self.headers and not self._knows_token():
                raise _RefusedError(401, "", "Invalid credentials in Authorization header")
            pushed = self.stand_in.uploads.answer(self.command, path, body, self.stand_in.endpoint)
            if pushed is not None:
                self._send(pushed[0], json.dumps(pushed[1]).encode(), {"Content-Type": "application/json"})
            elif path == "/api/whoami-v2":
                self._whoami()
            elif api := re.fullmatch(r"/api/(model|dataset)s/(.+?)(?:/(revision|tree|paths-info)/(.+))?", path):
                self._api(api[1], api[2], api[3], api[4], body)  # type: ignore[arg-type]
            elif file := re.fullmatch(r"/(datasets/)?([^/]+(?:/[^/]+)?)/resolve/([^/]+|refs/pr/\d+)/(.+)", path):
                self._file("dataset" if file[1] else "model", file[2], file[3], file[4])
            elif large := re.fullmatch(r"/large/([0-9a-f]{64})/(.+)", path):
                self._large(large[1], large[2])
            else:
                raise _RefusedError(404, "", "Not found")
        except _RefusedError as refused:
            status, code, message = refused.args
            headers = {"X-Error-Code": code, "X-Error-Message": message}
            self._send(status, json.dumps({"error": message}).encode(), headers)

    # ------------------------------------------------------------------------------------------------------- answers

    def _whoami(self) -> None:
        if not self._knows_token():
            raise _RefusedError(401, "", "Invalid credentials in Authorization header")
        self._send_json({"type": "user", "name": "reader", "auth": {"accessToken": {"role": "read"}}})

    def _api(self, kind: Kind, name: str, what: str | None, rest: str | None, body: bytes) -> None:
        repository = self._find(kind, name)
        if what in (None, "revision"):
            commit = self._commit(repository, rest or "main")
            siblings = [{"rfilename": path} for path in sorted(repository.commits[commit])]
            about = {"id": name, "sha": commit, "siblings": siblings, "private": False, "tags": [], "downloads": 0}
            self._send_json({**about, "gated": "manual" if repository.gated else False, "disabled": False})
            return
        revision, _, under = (rest or "").partition("/")
        files = repository.commits[self._commit(repository, revision)]
        if what == "tree":
            recursive = parse_qs(urlsplit(self.path).query).get("recursive", [""])[0].lower() in ("true", "1")
            self._send_json(_tree(files, under, recursive))
        else:
            wanted = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode()).get("paths", [])
            self._send_json([_entry(path, files[path]) for path in wanted if path in files])

    def _file(self, kind: Kind, name: str, revision: str, path: str) -> None:
        repository = self._find(kind, name)
        commit = self._commit(repository, revision)
        if repository.gated and not self._knows_token():
            told = f"Access to {kind} {name} is restricted. You must be authenticated to access it."
            raise _RefusedError(401, "GatedRepo", told)
        headers = {"X-Repo-Commit": commit}
        if path not in repository.commits[commit]:
            self._send(404, b"Entry not found", {**headers, "X-Error-Code": "EntryNotFound"})
            return
        data = repository.commits[commit][path]
        if len(data) >= LARGE_BYTES:
            digest = hashlib.sha256(data).hexdigest()
            place = f"{self.stand_in.storage}/large/{digest}/{path}"
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data)), "Location": place}
            self._send(302, b"", {**headers, **linked})
        else:
            self._send_data(data, {**headers, "ETag": f'"{_sha1(data)}"'}, path)

    def _large(self, digest: str, path: str) -> None:
        for repository in self.stand_in.repositories.values():
            for files in repository.commits.values():
                if path in files and hashlib.sha256(files[path]).hexdigest() == digest:
                    self._send_data(files[path], {"ETag": f'"{digest}"'}, path)
                    return
        raise _RefusedError(404, "", "Not found")

    # ------------------------------------------------------------------------------------------------------- details

    def _find(self, kind: Kind, name: str) -> Repository:
        repository = self.stand_in.repositories.get((kind, name))
        if repository is None:  # to those who are not logged in the real hub does not say which names exist
            raise _RefusedError(404 if self._knows_token() else 401, "RepoNotFound", "Invalid username or password.")
        return repository

    def _commit(self, repository: Repository, revision: str) -> str:
        commit = repository.revisions.get(revision, revision)
        if commit not in repository.commits:
            raise _RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _fault(self, path: str) -> Faults | None:
        return next((f for f in self.stand_in.faults if path.endswith(f.path) and f.times > 0), None)

    def _knows_token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_data(self, data: bytes, headers: dict[str, str], path: str) -> None:
        fault = self._fault(path)
        if fault is None or self.command == "HEAD":
            fault = Faults("")
        elif fault.status or fault.break_after_bytes is not None:
            fault.times -= 1
        if fault.status:
            raise _RefusedError(fault.status, "", "Something went wrong")
        start, status = 0, 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, status = int(asked[1]), 206
            end = min(int(asked[2] or len(data) - 1), len(data) - 1)
            headers = {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"}
            data = data[: end + 1]
        self.send_response(status)
        sent = {**headers, "Accept-Ranges": "bytes", "Content-Length": str(len(data) - start)}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        body = data[start:]
        if fault.break_after_bytes is not None:
            self.wfile.write(body[: fault.break_after_bytes])
            self.close_connection = True
            return
        for piece in _pieces(body, 8 if fault.pause_seconds else 1):
            time.sleep(fault.pause_seconds)
            self.wfile.write(piece)


def _sha1(data: bytes) -> str:
    """What git calls a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(data), "oid": _sha1(data)}
    if len(data) >= LARGE_BYTES:
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry


def _tree(files: dict[str, bytes], under: str, recursive: bool) -> list[dict[str, object]]:
    prefix = f"{under}/" if under else ""
    inside = {path: data for path, data in sorted(files.items()) if path.startswith(prefix)}
    if not inside:
        raise _RefusedError(404, "EntryNotFound", f"{under} does not exist")
    folders = {"/".join(path.split("/")[:depth]) for path in inside for depth in range(1, path.count("/") + 1)}
    folders = {folder for folder in folders if folder.startswith(prefix)}
    entries = [{"type": "directory", "path": folder, "size": 0, "oid": _sha1(folder.encode())} for folder in folders]
    entries += [_entry(path, data) for path, data in inside.items()]
    if recursive:
        return entries
    return [entry for entry in entries if "/" not in str(entry["path"]).removeprefix(prefix)]


def _pieces(data: bytes, count: int) -> Iterator[bytes]:
    size = max(1, -(-len(data) // count))
    yield from (data[start : start + size] for start in range(0, len(data), size))
