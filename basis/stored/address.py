"""Addresses of experiments in object storage, such as s3://bucket/path."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from basis.errors import UserError

SCHEMES = {"s3": "S3FileSystem", "gs": "GcsFileSystem", "abfs": "AzureFileSystem"}
"""By the first word of an address, the file system of pyarrow that speaks to it."""

OPTIONS = {
    "s3": ("endpoint_override", "region", "scheme"),
    "gs": ("endpoint_override", "scheme"),
    "abfs": (),
}
"""What may stand behind the "?" of an address, by scheme; the words are pyarrow's."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://?")


@dataclass(frozen=True)
class Address:
    """Where an experiment lies in object storage.

    Attributes:
        scheme: one of SCHEMES.
        path: the bucket, or Azure's container@account, and the path in it, without a slash at its end.
        options: pairs of OPTIONS.
    """

    scheme: str
    path: str
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"

    @property
    def bucket(self) -> str:
        """What the store itself must have made."""
        return self.path.partition("/")[0]

    def option(self, name: str) -> str | None:
        """The value of an option; None where it is not given."""
        return dict(self.options).get(name)

    @property
    def typed(self) -> str:
        """The address as a user types it."""
        query = "&".join(f"{name}={value}" for name, value in self.options)
        return f"{self}?{query}" if query else str(self)


def is_address(text: str) -> bool:
    """Whether a text is an address, of a scheme that we know or not, and no path of this machine."""
    return _ADDRESS.match(text) is not None


def parse_address(what: str, text: str) -> Address:
    """The address that a user's text names.

    Args:
        what: what the user set, such as "--output", for messages.
        text: what they set it to.

    Raises:
        UserError: an unknown scheme or option, no bucket, no path in it, or keys within the address.
    """
    try:
        parts = urlsplit(text)
        options = tuple(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise UserError(f"{what} {text}: is no address ({error})") from None
    accepted = ", ".join(f"{scheme}://" for scheme in SCHEMES)
    if parts.scheme not in SCHEMES:
        raise UserError(f"{what} {text}: unknown scheme {parts.scheme}; accepted: a folder, or one of {accepted}")
    if parts.password is not None or (parts.username is not None and parts.scheme != "abfs"):
        raise UserError(f"{what}: the address has keys in it, which logs would show; set them in the environment")
    path = f"{parts.netloc}{parts.path}".strip("/")
    if "/" not in path or "//" in path or parts.fragment or {".", ".."} & set(path.split("/")):
        raise UserError(f"{what} {text}: names no folder in a bucket; accepted: {parts.scheme}://BUCKET/PATH")
    for name, value in options:
        if name not in OPTIONS[parts.scheme] or not value:
            known = ", ".join(OPTIONS[parts.scheme]) or "none"
            raise UserError(f"{what} {text}: unknown option {name}={value}; accepted: {known}")
    return Address(parts.scheme, path, options)
