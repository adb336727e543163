"""Records of tables: CSV, TSV, lines of text, parquet and arrow."""

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from basis.errors import UserError, first_line
from sweep.data.files.json_records import LONGEST_LINE, not_utf8, numbered_lines
from sweep.data.records import WHOLE_FIELD, Unreadable
from sweep.hub.data import PlacedRecord


def text_lines(path: Path, lines: io.BufferedIOBase) -> Iterator[PlacedRecord]:
    """A text for each line that is not blank, as the text reader of `datasets` takes a line by default."""
    for number, line in numbered_lines(path, lines):
        if not line.strip():
            continue
        try:
            record: object = {WHOLE_FIELD: line.decode().rstrip("\r\n")}
        except UnicodeDecodeError as error:
            record = Unreadable(not_utf8(error))
        yield f"line {number}", record


def csv_records(path: Path, lines: io.BufferedIOBase, delimiter: str) -> Iterator[PlacedRecord]:
    """The rows of a CSV file, whose first one names the columns. Every value stays the text that it is.

    Raises:
        UserError: a column is named twice, a quote is not closed, or a byte is not UTF-8: where the next row begins
            can't be told then.
    """
    longest = csv.field_size_limit(LONGEST_LINE)
    rows = csv.reader(_decoded(path, lines), delimiter=delimiter, strict=True)
    try:
        names = next(rows, [])
        _refuse_duplicates(path, [name for name in names if name])
        begins = rows.line_num + 1
        for row in rows:
            if row:  # a blank line is none
                yield f"line {begins}", _csv_record(names, row)
            begins = rows.line_num + 1
    except csv.Error as error:
        raise UserError(f"{path}, line {rows.line_num}: not CSV ({error})") from None
    finally:
        csv.field_size_limit(longest)


def _csv_record(names: Sequence[str], row: Sequence[str]) -> object:
    if len(row) != len(names):
        return Unreadable(f"has {len(row)} values, but the first line names {len(names)} columns")
    return dict(zip(names, row, strict=True))


def _decoded(path: Path, lines: io.BufferedIOBase) -> Iterator[str]:
    for number, line in numbered_lines(path, lines):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}, line {number}: {not_utf8(error)}") from error


def parquet_records(path: Path, file: Any, fields: Collection[str]) -> Iterator[PlacedRecord]:
    """The rows of a parquet file.

    Args:
        path: the file, for messages.
        file: its path, or a file object.
        fields: the columns that may be read.

    Yields:
        Records with those of `fields` that are there; with all columns if none is.

    Raises:
        UserError: it is damaged, or a column is of a type that a library defines.
    """
    from pyarrow import parquet  # type: ignore[import-untyped]

    def batches() -> Iterator[Any]:
        with parquet.ParquetFile(file) as table:
            names = _read_columns(path, table.schema_arrow, fields)
            yield from table.iter_batches(batch_size=1024, columns=names)

    yield from _rows(path, batches(), "parquet")


def arrow_records(path: Path, file: Any, fields: Collection[str]) -> Iterator[PlacedRecord]:
    """The rows of an Arrow file or stream, as `datasets` saves one; see `parquet_records`."""
    from pyarrow import ArrowInvalid, ipc

    def batches() -> Iterator[Any]:
        try:
            whole = ipc.open_file(file)
            held: Iterable[Any] = (whole.get_batch(number) for number in range(whole.num_record_batches))
        except ArrowInvalid:  # no file, perhaps a stream
            file.seek(0)
            whole = held = ipc.open_stream(file)
        names = _read_columns(path, whole.schema, fields)
        for batch in held:
            for start in range(0, batch.num_rows, 1024):
                yield batch.select(names).slice(start, 1024)

    yield from _rows(path, batches(), "arrow")


def _rows(path: Path, batches: Iterable[Any], kind: str) -> Iterator[PlacedRecord]:
    import pyarrow

    number = 0
    try:
        for batch in batches:
            for record in batch.to_pylist():
                number += 1
                yield f"row {number}", record
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: text after row {number} is not UTF-8; convert it to UTF-8") from error
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: not a readable {kind} file ({first_line(error)})") from error


def _read_columns(path: Path, schema: Any, fields: Collection[str]) -> list[str]:
    """The columns to read: those of `fields` that are there, or all.

    Raises:
        UserError: one of them is there twice, or of a type that a library defines.
    """
    names = [name for name in schema.names if name in fields] or schema.names
    _refuse_duplicates(path, names)
    _refuse_python_types(path, [schema.field(name) for name in names])
    return list(names)


def _refuse_duplicates(path: Path, names: Collection[str]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UserError(f"{path}: the column {twice[0]!r} is there twice; which of them counts can't be told")


def _refuse_python_types(path: Path, columns: Sequence[Any]) -> None:
    """Refuse columns of types that a library defines in Python: Ray's unpickles each value that is read.

    Raises:
        UserError: naming the column.
    """
    import pyarrow

    for column in columns:
        held = [column.type]
        while held:
            kind = held.pop()
            if isinstance(kind, pyarrow.ExtensionType):
                raise UserError(f"{path}: column {column.name!r} is a {kind.extension_name}; accepted: text, or turns")
            held += [kind.field(i).type for i in range(kind.num_fields)]
            held += [kind.value_type] if pyarrow.types.is_dictionary(kind) else []
