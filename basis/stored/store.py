"""What is asked of object storage: list, read, write and delete whole objects. No rename and no append is assumed.

pyarrow's file systems do the work. They try a request again by themselves, ATTEMPTS times; after that a `StoreError`
says in one line what the store has answered.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs

from basis.checksums import Seal, flaw
from basis.errors import UserError, first_line
from basis.files import whole_file
from basis.stored.address import Address
from basis.stored.stamp import Stamp

ATTEMPTS = 6
"""Of a request to S3. pyarrow waits twice as long before each further one, some ten seconds in all."""

PATIENCE_SECONDS = 15.0
"""As long does a request to Google's store go on."""

CONNECT_SECONDS, REQUEST_SECONDS = 10.0, 60.0

CHUNK_BYTES = 8 * 2**20

REFUSALS = {
    "ACCESS_DENIED": "access is denied",
    "INVALID_ACCESS_KEY_ID": "it does not know the access key",
    "INVALID_CLIENT_TOKEN_ID": "it does not know the access key",
    "SIGNATURE_DOES_NOT_MATCH": "the secret key does not belong to the access key",
    "UNRECOGNIZED_CLIENT": "it does not know the access key",
    "NO_SUCH_BUCKET": "there is no such bucket",
    "RESOURCE_NOT_FOUND": "there is no such bucket",
    "NETWORK_CONNECTION": "it can't be reached",
    "SLOW_DOWN": "it is too busy",
    "SERVICE_UNAVAILABLE": "it is not available",
}
"""By the name that pyarrow has for what S3 answers. Others are told as they are."""

BY_STATUS = {"401": "ACCESS_DENIED", "403": "ACCESS_DENIED", "429": "SLOW_DOWN", "503": "SERVICE_UNAVAILABLE"}
"""By the status of an answer in which the store gives no reason."""

SAID_BY_OTHERS = {
    "Could not resolve host": "it can't be reached",
    "Could not connect": "it can't be reached",
    "AuthenticationException": "no login for it was found",
    "OAuth2": "no login for it was found",
}
"""By words in what pyarrow says of Google's and Azure's stores."""

FINAL = frozenset(
    {
        *("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "INVALID_CLIENT_TOKEN_ID", "SIGNATURE_DOES_NOT_MATCH"),
        *("UNRECOGNIZED_CLIENT", "NO_SUCH_BUCKET"),
    }
)
"""Answers that waiting does not change."""


class StoreError(UserError):
    """A store has refused, or has not answered. The message names its address and what it said."""

    def __init__(self, message: str, is_final: bool) -> None:
        """`is_final`: whether trying again later is of no use."""
        super().__init__(message)
        self.is_final = is_final


class Store:
    """A folder in object storage. Safe to use from several threads.

    Attributes:
        address: of the folder.
        requests: how many of each kind have been made, as S3 counts them: an object of several parts is several.
    """

    def __init__(self, address: Address, what: str) -> None:
        """Nothing is asked yet.

        Args:
            address: of the folder.
            what: what the user set it by, such as "--output", for messages.

        Raises:
            StoreError: the store's settings on this machine are of no use.
        """
        self.address, self._what = address, what
        self.requests: Counter[str] = Counter()
        self._lock = Lock()
        with self._told():
            self._files, self._root = _file_system(address)

    def within(self, folder: str) -> Self:
        """A folder in this one. Requests are counted together."""
        inner = copy(self)
        inner.address = replace(self.address, path=f"{self.address.path}/{folder}")
        inner._root = self._path(folder)
        return inner

    def list(self, within: str = "") -> dict[str, Stamp]:
        """All objects by their path within the folder; none where there is no folder.

        Args:
            within: only those of this folder in it, such as "control".

        Raises:
            StoreError: as for all methods.
        """
        selector = pafs.FileSelector(self._path(within).rstrip("/"), recursive=True, allow_not_found=True)
        with self._told():
            found = self._files.get_file_info(selector)
        self._count("list", 1 + len(found) // 1000)
        start = len(self._root) + 1
        return {one.path[start:]: Stamp(one.size, one.mtime_ns or 0) for one in found if one.type == pafs.FileType.File}

    def read(self, name: str) -> bytes | None:
        """An object; None if it is not there."""
        self._count("get")
        try:
            with self._told(), self._files.open_input_stream(self._path(name)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def get(self, name: str, path: Path) -> None:
        """Bring an object into a file, which is there whole or not at all.

        Raises:
            FileNotFoundError: the object is not there.
            OSError: the file can't be written.
        """
        self._count("get")
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, shared=True) as partial, partial.open("wb") as file:
            with self._told():
                stream = self._files.open_input_stream(self._path(name))
            with stream:
                while chunk := self._next(stream):
                    file.write(chunk)

    def get_sealed(self, name: str, path: Path, sealed: Seal) -> None:
        """Bring an object whose seal is known; else as `get`.

        Raises:
            StoreError: it is not there, or is another one.
        """
        try:
            self.get(name, path)
            found = flaw(path, sealed)
        except FileNotFoundError:
            found = "is missing"
        if found is not None:
            path.unlink(missing_ok=True)
            raise StoreError(f"{self._what} {self.address}: {name} in it {found}", is_final=True)

    def put(self, name: str, path: Path) -> int:
        """Make an object of a file, in place of the former one; readers see the one or the other.

        Returns:
            Its size in bytes.

        Raises:
            OSError: the file can't be read.
        """
        with path.open("rb") as file:  # opened once: a file that is replaced meanwhile stays the one that it was
            first = file.read(CHUNK_BYTES)
            size = len(first)
            with self._told(), self._files.open_output_stream(self._path(name)) as stream:
                try:
                    stream.write(first)
                    while chunk := file.read(CHUNK_BYTES):
                        stream.write(chunk)
                        size += len(chunk)
                except OSError as error:
                    broken: OSError | None = error
                else:
                    broken = None
        self._count("put", 1 if size <= CHUNK_BYTES else 2 + -(-size // CHUNK_BYTES))
        if broken is not None:  # closing has made an object of the half that was read
            self.delete(name)
            raise broken
        return size

    def write(self, name: str, content: bytes) -> None:
        """Make an object of some bytes."""
        self._count("put")
        with self._told(), self._files.open_output_stream(self._path(name)) as stream:
            stream.write(content)

    def delete(self, name: str) -> None:
        """Take an object away, if it is there. pyarrow leaves a mark of the folder: an empty object, PATH/."""
        self._count("delete", 3)  # it looks, deletes and marks
        with suppress(FileNotFoundError), self._told():
            self._files.delete_file(self._path(name))

    def check_writable(self) -> Stamp:
        """Write an object, and take it away again; its stamp has the store's own time."""
        name = f".write-test-{uuid4().hex}"
        self.write(name, b"written to see whether it can be\n")
        try:
            return self.stamp(name) or Stamp(0, 0)
        finally:
            self.delete(name)

    def stamp(self, name: str) -> Stamp | None:
        """The stamp of one object; None if it is not there."""
        self._count("head")
        with self._told():
            info = self._files.get_file_info(self._path(name))
        return Stamp(info.size, info.mtime_ns or 0) if info.type == pafs.FileType.File else None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _next(self, stream: pa.NativeFile) -> bytes:
        with self._told():
            return bytes(stream.read(CHUNK_BYTES))

    def _count(self, kind: str, number: int = 1) -> None:
        with self._lock:
            self.requests[kind] += number

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what pyarrow raises in one line; an object that is not there stays a FileNotFoundError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException, ValueError) as error:
            said = first_line(error)
            answer = re.search(r"AWS Error ([A-Z_0-9]+)(?: \(HTTP status (\d+)\))? during \w+ operation: ?(.*)", said)
            code = BY_STATUS.get(answer[2] or "", answer[1]) if answer else ""
            rest = re.sub(r"\(Request ID:.*|Details:.*", "", answer[3] if answer else said).strip(" ;")
            elsewhere = next((why for words, why in SAID_BY_OTHERS.items() if words in said), None)
            why = REFUSALS.get(code, elsewhere or f"{code.lower().replace('_', ' ')} {rest}".strip())
            raise StoreError(f"{self._what} {self.address}: {why}", code in FINAL) from None


def _file_system(address: Address) -> tuple[pafs.FileSystem, str]:
    """pyarrow's file system for an address, with patience, and the path in it; logins come from the environment."""
    options = dict(address.options)
    if address.scheme == "gs":
        return pafs.GcsFileSystem(retry_time_limit=timedelta(seconds=PATIENCE_SECONDS), **options), address.path
    if address.scheme == "abfs":
        files, path = pafs.FileSystem.from_uri(address.typed)
        return files, path
    endpoint = options.pop("endpoint_override", None) or os.environ.get(
        "AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL")
    )
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        options = {"scheme": scheme or "https", **options, "endpoint_override": host.rstrip("/")}
    if not options.get("region"):
        named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        options["region"] = named or ("us-east-1" if endpoint else pafs.resolve_s3_region(address.bucket))
    files = pafs.S3FileSystem(
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        allow_delayed_open=True,  # a small object is one request instead of three
        **options,
    )
    return files, address.path
