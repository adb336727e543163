"""Records of JSON lines, and of a JSON file: a list of records, a mapping of columns, or one record."""

import codecs
import io
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from basis.errors import UserError
from sweep.data.messages import is_message, is_messages
from sweep.data.records import Unreadable
from sweep.hub.data import PlacedRecord

LONGEST_LINE = 64 * 2**20
"""Bytes of one record in a file of lines; a hundred books."""


def numbered_lines(path: Path, lines: io.BufferedIOBase) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, from 1, without a byte-order mark.

    Raises:
        UserError: a line is longer than LONGEST_LINE.
    """
    for number, raw in enumerate(iter(lambda: lines.readline(LONGEST_LINE + 1), b""), 1):
        if len(raw) > LONGEST_LINE:
            raise UserError(f"{path}, line {number}: is longer than {LONGEST_LINE // 2**20} MiB; a line is one record")
        yield number, raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw


def not_utf8(error: UnicodeDecodeError) -> str:
    """What is wrong with bytes that are no UTF-8."""
    return f"byte 0x{error.object[error.start]:02x} is not UTF-8; convert it to UTF-8"


def json_lines(path: Path, lines: io.BufferedIOBase) -> Iterator[PlacedRecord]:
    """The records of a file of JSON lines; what is no record comes as Unreadable."""
    for number, line in numbered_lines(path, lines):
        if not line.strip():
            continue
        record: object
        try:
            record = _parsed(line.decode())
        except UnicodeDecodeError as error:
            record = Unreadable(not_utf8(error))
        except json.JSONDecodeError as error:
            record = Unreadable(f"not JSON ({error.msg}, column {error.colno})")
        except UserError as error:
            record = Unreadable(str(error))
        yield f"line {number}", record


def json_records(path: Path, content: bytes, fields: Collection[str]) -> Iterator[PlacedRecord]:
    """The records of a .json file.

    Args:
        path: the file, for messages.
        content: all of it.
        fields: the names by which a mapping of columns is known.

    Raises:
        UserError: it is no JSON, or its columns differ in length.
    """
    if not content.strip():
        return
    try:
        text = content.decode("utf-8-sig")
        value = _parsed(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: {not_utf8(error)}") from error
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or not text.lstrip().startswith("{"):
            raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg}, column {error.colno})") from error
        yield from json_lines(path, io.BytesIO(content))
        return
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if isinstance(value, list):
        yield from ((f"record {number}", record) for number, record in enumerate(value, 1))
    elif isinstance(value, dict) and any(_is_column(value.get(name)) for name in fields):
        yield from _column_records(path, value, fields)
    else:
        yield "record 1", value


def _is_column(value: object) -> bool:
    return isinstance(value, list | dict) and not is_messages(value) and not is_message(value)


def _column_records(path: Path, columns: dict[str, Any], fields: Collection[str]) -> Iterator[PlacedRecord]:
    """The records of a mapping of columns; pandas writes a column as a mapping from index to value."""
    names = [name for name in fields if _is_column(columns.get(name))]
    chosen = [columns[name] for name in names]
    lists = [list(column.values()) if isinstance(column, dict) else column for column in chosen]
    if len({len(column) for column in lists}) > 1:
        raise UserError(f"{path}: the columns {' and '.join(map(repr, names))} differ in length")
    for number, row in enumerate(zip(*lists, strict=True), 1):
        yield f"record {number}", dict(zip(names, row, strict=True))


def _parsed(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        UserError: valid JSON that Python does not read, or that names a key twice.
        JSONDecodeError: no JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise UserError("lists or objects are nested too deeply; a record takes a few levels") from None
    except ValueError:
        raise UserError("a number has thousands of digits, more than can be read") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"the key {twice!r} stands twice in one object; which of them counts can't be told")
    return named
