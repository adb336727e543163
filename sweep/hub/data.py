"""Data sets on the Hugging Face hub, read by `datasets` out of the folder that `sweep.hub.fetch` brings."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from basis.errors import UserError
from sweep.spec.hub_names import HubName

PlacedRecord = tuple[str, object]
"""Where a record stands, as a message names it ("FILE, line 3"), and the record."""


def hub_tables(name: HubName, key: str) -> list[tuple[str, Any]]:
    """The splits of a data set, each as (split, datasets.Dataset): the one that is named, or all.

    Args:
        name: of the data set.
        key: the place in the spec that an error names.

    Raises:
        UserError: it can't be had, or not be read.
    """
    import datasets

    from model.weight_files import WeightsError, refuse_pointers
    from sweep.hub.fetch import DATA_SUFFIXES, fetch_dataset

    folder = fetch_dataset(name, key).folder
    files = [path for path in folder.rglob("*") if path.is_file() and set(path.suffixes) & set(DATA_SUFFIXES)]
    try:
        refuse_pointers(sorted(files))
        loaded = datasets.load_dataset(str(folder), split=name.split)
    except WeightsError as error:
        raise UserError(f"{key}: {name.shown!r} lacks data: {error}") from None
    except Exception as error:  # each of its readers raises what it likes
        raise UserError(f"{key}: {name.shown!r} can't be read as a data set: {_reason(error, folder)}") from error
    return [(name.split, loaded)] if name.split else sorted(loaded.items())


def hub_records(table: Any, field: str) -> Iterator[PlacedRecord]:
    """The records of a split: `field` and, where there is one, the prompt; all fields of a split without `field`."""
    names = table.column_names
    if field in names:
        table = table.select_columns([name for name in dict.fromkeys(("prompt", field)) if name in names])
    yield from ((f"row {number}", record) for number, record in enumerate(table, 1))


def _reason(error: BaseException, folder: Path) -> str:
    """What `datasets` says in its first two lines, and what the reader behind it said of which file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()][:2]
    cause: BaseException | None = error.__cause__ or error.__context__
    while cause is not None:
        lines += [line.strip() for line in str(cause).splitlines() if line.strip()][:1]
        cause = cause.__cause__ or cause.__context__
    return ": ".join(dict.fromkeys(lines)).replace(f"{folder}{os.sep}", "") or type(error).__name__
