"""Experiments that a user names, in a folder of this machine or in object storage."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from basis.errors import UserError
from basis.stored.address import is_address, parse_address
from sweep.machine.output_folders import local_path


@contextmanager
def experiment_folder(what: str, text: str, weights: bool, sends: bool = False) -> Iterator[Path]:
    """The folder of an experiment to work in; a stored one is brought to this machine first.

    Args:
        what: what the user set, such as "DIR", for messages.
        text: what they set it to: a path, or an address.
        weights: whether what was trained is needed.
        sends: whether what is written in the block goes to the store, where no sweep may write meanwhile.

    Raises:
        UserError: the text names no path, or the store can't be read.
    """
    if not is_address(text):
        yield local_path(what, text)
        return
    from basis.stored.copy import is_checkpoint, is_weights  # imports pyarrow
    from basis.stored.places import ALL, brought

    def wanted(name: str) -> bool:
        return not is_checkpoint(name) if weights else not is_weights(name)

    with brought(parse_address(what, text), what, wanted, ALL if sends else None) as folder:
        yield folder


@contextmanager
def trial_folder(what: str, text: str) -> Iterator[Path]:
    """The folder of one trial, with its weights and all that its experiment says of it; else as `experiment_folder`."""
    if not is_address(text):
        yield local_path(what, text)
        return
    from basis.stored.copy import is_weights  # imports pyarrow
    from basis.stored.places import brought

    address = parse_address(what, text)
    path, _, trial = address.path.rpartition("/")
    if "/" not in path:
        raise UserError(
            f"{what} {text}: names no trial of an experiment; accepted: {address.scheme}://BUCKET/PATH/TRIAL"
        )
    with brought(
        replace(address, path=path), what, lambda name: not is_weights(name) or name.startswith(f"{trial}/")
    ) as folder:
        yield folder / trial
