"""JSON files that a sweep keeps, read in the knowledge that they may be damaged."""

import json
from pathlib import Path
from typing import Any


class DamagedError(Exception):
    """A file is not as it was written; the message says in which way, and not which file."""


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        DamagedError: it does not, or is missing.
        OSError: it is there and can't be read.
    """
    values = parse_json(read_text(path))
    if not isinstance(values, dict):
        raise DamagedError("is no JSON object")
    return values


def read_text(path: Path) -> str:
    """The text of a file; raises as `read_object`."""
    if not path.is_file():
        raise DamagedError("is no file" if path.exists() else "is missing")
    content = path.read_bytes()
    if not content.strip():
        raise DamagedError("is empty")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedError(f"is not UTF-8 text (byte {error.start})") from None


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        DamagedError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"is no JSON ({str(error)[:80]})") from None
