"""A trial of a stored sweep on a node of a cluster that shares no folder with the driver.

It works in a folder of its node. What it needs comes from the store, and so does what an earlier try has left; what
it keeps goes there: a checkpoint as it comes, and everything before its end is told. Then the folder is removed.
"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from filelock import FileLock

from basis.directory import BASE_DIR
from basis.disks import REASONS, disk_failure
from basis.errors import first_line
from basis.stored.address import parse_address
from basis.stored.contents import discard_unused
from basis.stored.copy import Copy
from basis.stored.places import contents_folder, node_folder
from basis.stored.store import Store, StoreError
from sweep.inputs import StoredSweep, SweepInputs
from sweep.storing.patience import patiently
from sweep.storing.trial_files import DISK_OF_NODE, STORE, is_drivers


@contextmanager
def own_disk_named(node_id: str) -> Iterator[None]:
    """Within, what this node's disk refuses is raised with the node's id, so that the trial is tried elsewhere.

    Raises:
        OSError: see `DISK_OF_NODE`.
    """
    try:
        yield
    except Exception as error:
        if (number := disk_failure(error)) is None:
            raise
        raise OSError(f"{REASONS[number]}: {first_line(error)} ({DISK_OF_NODE} {node_id})") from error


def inputs_on_node(inputs: SweepInputs, stored: StoredSweep) -> SweepInputs:
    """The inputs with folders of this node. Tokens and weights are brought once for all its trials, by their content.

    Raises:
        StoreError: the store can't be read from here.
    """
    store = _store_of(stored)
    places = {
        path: patiently(partial(content.bring, store, contents_folder())) for path, content in stored.contents.items()
    }
    discard_unused(contents_folder())

    def tokens(path: Path | None) -> Path | None:
        return path and places[str(path.parent)] / path.name

    def folder(path: str) -> str:
        return str(places.get(path, path))

    train, test = tokens(inputs.train_tokens), tokens(inputs.test_tokens)
    assert train is not None
    assert test is not None
    experiment_dir = node_folder(store.address)
    experiment_dir.mkdir(parents=True, exist_ok=True)
    judge = inputs.reward.model
    return replace(
        inputs,
        experiment_dir=experiment_dir,
        base_model=folder(inputs.base_model),
        tokenizer=folder(inputs.tokenizer),
        train_tokens=train,
        test_tokens=test,
        validation_tokens=tokens(inputs.validation_tokens),
        general_tokens=tokens(inputs.general_tokens),
        reward=inputs.reward.model_copy(update={"model": judge and folder(judge)}),
    )


class StoredTrial:
    """Keeps the store up to date with one trial's folder."""

    def __init__(self, inputs: SweepInputs, stored: StoredSweep, trial: str) -> None:
        """Nothing is brought yet.

        Args:
            inputs: as `inputs_on_node` returned them.
            stored: where the sweep is kept.
            trial: the trial's name.
        """
        store, folder = _store_of(stored), inputs.experiment_dir
        self._trial = Copy(store.within(trial), folder / trial, is_drivers)
        self._base_lock = FileLock(folder / "base.lock")
        self._base_of = (store.within(BASE_DIR), folder / BASE_DIR) if inputs.reward.judged_by is not None else None
        self._sending: threading.Thread | None = None

    def bring(self) -> None:
        """Bring what earlier tries have left, on whichever node, and the base model's answers.

        Raises:
            StoreError: the store can't be read.
        """
        patiently(self._trial.pull)
        if self._base_of is not None:
            with self._base_lock:
                patiently(Copy(*self._base_of).pull)

    def keep_up(self) -> None:
        """Send a new checkpoint, and now and then what else has changed, while the trial goes on."""
        if self._sending is None or not self._sending.is_alive():
            self._sending = threading.Thread(target=self._send, daemon=True)
            self._sending.start()

    def end(self) -> None:
        """Send what is left, and remove the folder. What says that a trial has finished is sent last.

        Raises:
            StoreError: not all could be sent; the folder stays.
        """
        if self._sending is not None:
            self._sending.join()
        patiently(self._send_rest)
        shutil.rmtree(self._trial.folder, ignore_errors=True)

    def _send(self) -> None:
        with suppress(OSError):  # what is not sent now is sent next time, or at the end
            self._trial.push()

    def _send_rest(self) -> None:
        if self._base_of is not None:
            with self._base_lock:
                _raise_first(Copy(*self._base_of).push(is_end=True).failed)
        _raise_first(self._trial.push(is_end=True).failed)


def _raise_first(failed: dict[str, StoreError]) -> None:
    for error in failed.values():
        raise error


def _store_of(stored: StoredSweep) -> Store:
    return Store(parse_address(STORE, stored.address), STORE)
