"""The records of one file, read as the end of its name says."""

import io
from collections.abc import Collection, Iterator
from pathlib import Path

from basis.errors import UserError
from sweep.data.files.json_records import json_lines, json_records
from sweep.data.files.packing import LFS_POINTER, PACKED_ERRORS, open_unpacked, packing_of
from sweep.data.files.tables import arrow_records, csv_records, parquet_records, text_lines
from sweep.hub.data import PlacedRecord
from sweep.schema.data_folders import FORMATS, suffix_of


def file_records(path: Path, fields: Collection[str], format_: str | None = None) -> Iterator[PlacedRecord]:
    """The records of one file.

    Args:
        path: the file.
        fields: the fields that may be read; a table's other columns are left out where it has one of these.
        format_: which of FORMATS it has; None: the one that its name says.

    Yields:
        Each record with its place; `records.Unreadable` where one should be and can't be read as such.

    Raises:
        UserError: the file can't be read, or not beyond some line of it.
    """
    try:
        with path.open("rb") as start:
            beginning = start.read(len(LFS_POINTER))
        if not beginning:
            return
        packing = packing_of(path, beginning)
        with open_unpacked(path, packing) as file:
            match format_ or format_of(path):
                case ".jsonl":
                    yield from json_lines(path, file)
                case ".json":
                    yield from json_records(path, file.read(), fields)
                case ".csv":
                    yield from csv_records(path, file, ",")
                case ".tsv":
                    yield from csv_records(path, file, "\t")
                case ".txt":
                    yield from text_lines(path, file)
                case ".parquet":
                    yield from parquet_records(path, io.BytesIO(file.read()) if packing else path, fields)
                case ".arrow":
                    yield from arrow_records(path, io.BytesIO(file.read()) if packing else file, fields)
    except (OSError, *PACKED_ERRORS) as error:
        raise unreadable(path, error) from error
    except MemoryError:
        raise UserError(f"{path}: takes more memory than there is; write it as JSON lines, in several files") from None


def format_of(path: Path) -> str:
    """Which of FORMATS a file's name says; "" for none of them."""
    suffix = suffix_of(path.name)
    return next((format_ for format_ in FORMATS if suffix.startswith(format_)), "")


def unreadable(path: Path, error: Exception) -> UserError:
    """What the user is told of a file that cannot be opened or decompressed."""
    return UserError(f"{path}: can't be read ({getattr(error, 'strerror', None) or error})")
