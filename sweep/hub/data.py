"""Reads data sets of the Hugging Face hub with `datasets`, from the folder that `sweep.hub.fetch` downloads."""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from basis.errors import UserError
from sweep.schema.hub_names import HubName

PlacedRecord = tuple[str, object]
"""A record of a data set after its place, as messages name it: ("FILE, line 3", the record)."""


def hub_tables(name: HubName, key: str) -> list[tuple[str, Any]]:
    """Download a data set if need be, and open its splits.

    Args:
        name: the data set, perhaps with a configuration and a split.
        key: the key of the spec that an error names.

    Returns:
        Pairs (split, datasets.Dataset): the split that `name` has, or all splits in alphabetical order.

    Raises:
        UserError: the data set can't be downloaded, or can't be read.
    """
    import datasets

    from model.weight_files import WeightsError, refuse_pointers
    from sweep.hub.fetch import DATA_SUFFIXES, fetch_dataset

    folder = fetch_dataset(name, key).folder
    files = [path for path in folder.rglob("*") if path.is_file() and set(path.suffixes) & set(DATA_SUFFIXES)]
    try:
        refuse_pointers(sorted(files))
        configs = datasets.get_dataset_config_names(str(folder))
        config = name.config or datasets.get_dataset_default_config_name(str(folder))
        if config not in configs:
            raise UserError(_which_config(name, key, configs))
        loaded = datasets.load_dataset(str(folder), config, split=name.split)
    except WeightsError as error:
        raise UserError(f"{key}: {name.shown!r} lacks data: {error}") from None
    except UserError:
        raise
    except Exception as error:  # the readers of `datasets` raise many unrelated types
        raise UserError(f"{key}: {name.shown!r} can't be read as a data set: {_reason(error, folder)}") from error
    return [(name.split, loaded)] if name.split else sorted(loaded.items())


def hub_records(table: Any, fields: Collection[str]) -> Iterator[PlacedRecord]:
    """The records of a split.

    Args:
        table: a datasets.Dataset.
        fields: the fields that may be read.

    Yields:
        Each record with those of `fields` that it has; with all its fields if it has none of these.
    """
    names = [name for name in table.column_names if name in fields]
    yield from ((f"row {n}", record) for n, record in enumerate(table.select_columns(names) if names else table, 1))


def _which_config(name: HubName, key: str, configs: Sequence[str]) -> str:
    """What is told where the configuration is missing or not among those that there are."""
    wrong = "has several configurations" if name.config is None else f"has no configuration {name.config!r}"
    accepted = ", ".join(name._replace(config=config).shown for config in configs)
    return f"{key}: {name._replace(config=None).shown!r} {wrong}; accepted: {accepted}"


def _reason(error: BaseException, folder: Path) -> str:
    """The first two lines of what `datasets` says, and the first line of each error behind it, as one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()][:2]
    cause: BaseException | None = error.__cause__ or error.__context__
    while cause is not None:
        lines += [line.strip() for line in str(cause).splitlines() if line.strip()][:1]
        cause = cause.__cause__ or cause.__context__
    return ": ".join(dict.fromkeys(lines)).replace(f"{folder}{os.sep}", "") or type(error).__name__
