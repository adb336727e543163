"""An S3 of our own on loopback: moto's server, and a door before it that can fail as networks and stores do."""

import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

BUCKET = "sweeps"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What a process needs to speak to it."""

Failure = Callable[[str, str], str | None]
"""Given the method and the path of a request: "busy" (503), "denied" (403), "cut" (it ends in mid-body), or None."""


@dataclass
class ObjectStore:
    """A bucket that can fail.

    Attributes:
        endpoint: its address, as clients have it.
        fails: asked about each request.
        seen: the requests that came, as "METHOD /path".
    """

    endpoint: str
    fails: Failure = lambda method, path: None
    seen: list[str] = field(default_factory=list)

    def address(self, path: str) -> str:
        """Of a folder in the bucket, as a user types it."""
        return f"s3://{BUCKET}/{path}?endpoint_override={self.endpoint}"

    def names(self, path: str) -> list[str]:
        """Of all objects in a folder, their paths within it; without marks of empty folders."""
        return [key[len(path) + 1 :] for key in self.keys_of(f"{path}/")]

    def keys_of(self, prefix: str = "") -> list[str]:
        """Of all objects, without marks of empty folders."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
        return [key for key in keys if key[-1] != "/"]

    def objects(self, path: str) -> dict[str, bytes]:
        """All objects in a folder that nobody writes in meanwhile, by their path within it, as boto3 reads them."""
        client = self._client()
        return {
            name: client.get_object(Bucket=BUCKET, Key=f"{path}/{name}")["Body"].read() for name in self.names(path)
        }

    def put(self, key: str, body: bytes) -> None:
        """What somebody else writes."""
        self._client().put_object(Bucket=BUCKET, Key=key, Body=body)

    def delete(self, key: str) -> None:
        """What somebody else removes."""
        self._client().delete_object(Bucket=BUCKET, Key=key)

    def _client(self):  # type: ignore[no-untyped-def]  # boto3 has no types
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )


@contextmanager
def object_store(port: int = 0) -> Iterator[ObjectStore]:
    """Start the store with an empty bucket, and end it. Without a port it takes a free one."""
    store = ObjectStore("")
    server = make_server("127.0.0.1", port, _door(store), threaded=True, request_handler=_Quiet)
    store.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        reset = urllib.request.Request(f"{store.endpoint}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset).close()  # moto keeps what it has in its process, whatever server it was given to
        store._client().create_bucket(Bucket=BUCKET)
        store.seen.clear()
        yield store
    finally:
        server.shutdown()
        server.server_close()


def _door(store: ObjectStore) -> Application:
    """moto's application, behind one that can fail."""
    moto = DomainDispatcherApplication(create_backend_app)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        store.seen.append(f"{method} {path}")
        failure = store.fails(method, path)
        if failure == "busy":
            start_response("503 Slow Down", [("Retry-After", "1"), ("Content-Length", "0")])
            return []
        if failure == "denied":
            start_response("403 Forbidden", [("Content-Length", "0")])
            return []
        if failure == "cut":
            environ["wsgi.input"].read(1000)
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        return moto(environ, start_response)

    return answer


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


def away_for(seconds: float) -> Failure:
    """The store is busy for so long from now on."""
    until = time.monotonic() + seconds
    return lambda method, path: "busy" if time.monotonic() < until else None


def serve(port: int, folder: Path) -> None:
    """Be a store until a SIGTERM; what it holds then lies in `folder`, whose file "ready" says that it serves."""
    folder.mkdir(parents=True)
    with object_store(port) as store:
        (folder / "ready").touch()
        signal.sigwait([signal.SIGTERM])
        client = store._client()
        for key in store.keys_of():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(BUCKET, key, str(path))
        (folder / "seen").write_text("\n".join(store.seen), encoding="utf-8")


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    serve(int(sys.argv[1]), Path(sys.argv[2]))
