"""Reads dialogues out of files and hub datasets, one at a time, with errors that name file, line and value."""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from basis.errors import UserError, first_line
from sweep.data.records import Text, dialogue_text
from sweep.hub.data import PlacedRecord, hub_records, hub_tables
from sweep.schema.hub_names import shown_name
from sweep.schema.sources import Role, hub_dataset, source_files, suffix_of

LONGEST_LINE = 64 * 2**20
"""Bytes of one record in a file of JSON lines; a hundred books."""
GZIP = b"\x1f\x8b"
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def texts(source: str, role: Role, field: str) -> Iterator[Text]:
    """The dialogues of one source; see `records.dialogue_text` for what a record may hold."""
    files = source_files(source)
    if files is None:
        hub = hub_tables(hub_dataset(source, role), f"data.{role}")
        tables = [(f"{shown_name(source)}, split {split}", hub_records(table, field)) for split, table in hub]
    else:
        tables = [(str(path), _file_records(path, field)) for path in files]
    for name, records in tables:
        yield from _texts(name, records, field)


def file_texts(path: Path, field: str) -> Iterator[Text]:
    """The dialogues of one file."""
    yield from _texts(str(path), _file_records(path, field), field)


def _texts(name: str, records: Iterable[PlacedRecord], field: str) -> Iterator[Text]:
    place = ""
    for place, record in records:
        yield dialogue_text(f"{name}, {place}", record, field)
    if not place:
        raise UserError(f"{name}: is empty; records with a field {field!r} are needed")


def unreadable(path: Path, error: Exception) -> UserError:
    """What the user is told of a file that cannot be opened or decompressed."""
    return UserError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})")


def _file_records(path: Path, field: str) -> Iterator[PlacedRecord]:
    """The records of one file, read as its suffix says."""
    suffix = suffix_of(path.name)
    try:
        with path.open("rb") as start:
            beginning = start.read(len(LFS_POINTER))
        if not beginning:
            return
        if beginning[:2] == GZIP and not suffix.endswith(".gz"):
            raise UserError(f"{path}: is compressed by gzip; give it a name that ends in {suffix}.gz")
        if beginning == LFS_POINTER:
            raise UserError(f"{path}: is a Git LFS pointer, not the data; fetch the data with: git lfs pull")
        if suffix == ".parquet":
            yield from _parquet_records(path, field)
            return
        with gzip.open(path) if suffix.endswith(".gz") else path.open("rb") as file:
            if suffix.startswith(".jsonl"):
                yield from _json_lines(path, file)
            else:
                yield from _json_records(path, file.read(), field)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(path, error) from error
    except MemoryError:
        raise UserError(f"{path}: takes more memory than there is; write it as JSON lines, in several files") from None


def _json_lines(path: Path, lines: io.BufferedIOBase) -> Iterator[PlacedRecord]:
    for number, raw in enumerate(iter(lambda: lines.readline(LONGEST_LINE + 1), b""), 1):
        if len(raw) > LONGEST_LINE:
            raise UserError(f"{path}, line {number}: is longer than {LONGEST_LINE // 2**20} MiB; a line is one record")
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if not line.strip():
            continue
        try:
            record = _parse(line.decode(), f"{path}, line {number}")
        except UnicodeDecodeError as error:
            raise _not_utf8(path, number, error) from error
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error.msg}, column {error.colno})") from error
        yield f"line {number}", record


def _parse(text: str, place: str) -> Any:
    """The value of a JSON text.

    Raises:
        UserError: valid JSON that Python does not read.
        JSONDecodeError: no JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise UserError(f"{place}: lists or objects are nested too deeply; a record takes a few levels") from None
    except ValueError:
        raise UserError(f"{place}: a number has thousands of digits, more than can be read") from None


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> UserError:
    return UserError(f"{path}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8; convert it to UTF-8")


def _json_records(path: Path, content: bytes, field: str) -> Iterator[PlacedRecord]:
    """The records of a .json file: a list of records, a mapping of columns, or JSON lines."""
    if not content.strip():
        return
    try:
        text = content.decode("utf-8-sig")
        value = _parse(text, str(path))
    except UnicodeDecodeError as error:
        raise _not_utf8(path, content.count(b"\n", 0, error.start) + 1, error) from error
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or not text.lstrip().startswith("{"):
            raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg}, column {error.colno})") from error
        yield from _json_lines(path, io.BytesIO(content))
        return
    if isinstance(value, dict) and isinstance(value.get(field), list | dict):
        yield from _column_records(path, value, field)
    elif isinstance(value, list):
        yield from ((f"record {number}", record) for number, record in enumerate(value, 1))
    else:
        yield "record 1", value


def _column_records(path: Path, columns: dict[str, Any], field: str) -> Iterator[PlacedRecord]:
    """The records of a mapping of columns; pandas writes a column as a mapping from index to value."""
    names = [name for name in dict.fromkeys(("prompt", field)) if isinstance(columns.get(name), list | dict)]
    chosen = [columns[name] for name in names]
    lists = [list(column.values()) if isinstance(column, dict) else column for column in chosen]
    if len({len(column) for column in lists}) > 1:
        raise UserError(f"{path}: the columns {' and '.join(map(repr, names))} differ in length")
    for number, row in enumerate(zip(*lists, strict=True), 1):
        yield f"record {number}", dict(zip(names, row, strict=True))


def _refuse_python_types(path: Path, columns: Sequence[Any]) -> None:
    """Refuse columns of types that a library defines in Python: Ray's unpickles each value that is read.

    Raises:
        UserError: naming the column.
    """
    import pyarrow  # type: ignore[import-untyped]

    for column in columns:
        held = [column.type]
        while held:
            kind = held.pop()
            if isinstance(kind, pyarrow.ExtensionType):
                raise UserError(f"{path}: column {column.name!r} is a {kind.extension_name}; accepted: text, or turns")
            held += [kind.field(i).type for i in range(kind.num_fields)]
            held += [kind.value_type] if pyarrow.types.is_dictionary(kind) else []


def _parquet_records(path: Path, field: str) -> Iterator[PlacedRecord]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            columns = [name for name in ("prompt", field) if name in names] if field in names else names
            _refuse_python_types(path, [file.schema_arrow.field(name) for name in columns])
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield f"row {number}", record
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: text after row {number} is not UTF-8; convert it to UTF-8") from error
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: not a readable parquet file ({first_line(error)})") from error
