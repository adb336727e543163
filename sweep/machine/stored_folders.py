"""Experiments that a user names, in a folder of this machine or in object storage."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from basis.directory import TRAINED_FILE
from basis.errors import UserError
from basis.stored.address import Address, is_address, parse_address
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
    from basis.stored.kinds import is_checkpoint, is_weights
    from basis.stored.places import ALL, brought

    def wanted(name: str) -> bool:
        return not is_checkpoint(name) if weights else not is_weights(name)

    address = parse_address(what, text)
    with brought(address, what, wanted, ALL if sends else None) as folder, _told_as(address, folder):
        yield folder


def bring_weights(what: str, text: str, trial_dir: Path) -> None:
    """Bring what a trial of a stored experiment has trained, within the block of `experiment_folder`.

    Args:
        what: what the user set, for messages.
        text: what they set it to; nothing happens where that is a path.
        trial_dir: the trial's directory.

    Raises:
        UserError: the store can't be read. Weights that are not there are no error of this.
    """
    if not is_address(text):
        return
    from basis.stored.places import copy_of, is_swept  # imports pyarrow

    copy, name = copy_of(parse_address(what, text), what), f"{trial_dir.name}/{TRAINED_FILE}"
    if not is_swept(copy):
        copy.bring(name)
    elif not (copy.folder / name).exists():  # the sweep alone may keep the index, and sends it once more
        with suppress(FileNotFoundError):
            copy.store.get(name, copy.folder / name)


@contextmanager
def _told_as(address: Address, folder: Path) -> Iterator[None]:
    """Have errors of the block name what the user has typed, and not our copy of it."""
    words = {
        f"{folder}/": f"{address}/",
        f"--resume {folder}": f"--resume {shlex.quote(address.typed)}",
        str(folder): address.typed,
    }
    try:
        yield
    except UserError as error:
        said = str(error)
        for ours, theirs in words.items():
            said = said.replace(ours, theirs)
        if said == str(error):
            raise
        raise UserError(said) from error


@contextmanager
def trial_folder(what: str, text: str) -> Iterator[Path]:
    """The folder of one trial, with its weights and all that its experiment says of it; else as `experiment_folder`."""
    if not is_address(text):
        yield local_path(what, text)
        return
    from basis.stored.kinds import is_weights
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
