"""Where a submitted sweep keeps its results: the one place that knows which kinds of storage there are.

`output` is everywhere what `cluster_output` returns: the path of a folder that all nodes share, or an address.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from basis.directory import INPUTS_DIR, SPEC_FILE
from basis.errors import UserError
from basis.stored.address import SCHEMES, is_address, parse_address
from sweep.driver.opening import LEFT_BEFORE_SPEC, check_free
from sweep.machine.output_folders import check_length, check_writable, local_path
from sweep.machine.stored_folders import experiment_folder

if TYPE_CHECKING:
    from basis.stored.store import Store

FLAG = "--output"
ACCEPTED = (
    "accepted: the absolute path of a folder that all nodes of the cluster share, or one of "
    f"{', '.join(f'{scheme}://' for scheme in SCHEMES)}"
)


def cluster_output(output: str) -> str:
    """What `--output` names on the cluster, in one spelling; nobody asks the cluster yet.

    Raises:
        UserError: it names nothing.
    """
    if is_address(output):
        if (scheme := output.partition(":")[0]) not in SCHEMES:
            raise UserError(f"{FLAG} {output}: {scheme}:// is no storage that is known; {ACCEPTED}")
        return parse_address(FLAG, output).typed
    if not output.startswith("/") or "\0" in output:
        raise UserError(f"{FLAG} {output!r}: is no absolute path; {ACCEPTED}")
    return os.path.normpath(output)


def inputs_folder(output: str) -> Path:
    """Where on the cluster lies what was sent along with a sweep.

    In its experiment directory, so that a resume finds it there; of a stored one in a folder of the head, into which
    every start brings it.
    """
    if not is_address(output):
        return Path(output) / INPUTS_DIR
    return Path("/tmp") / f"sft-sweep-{hashlib.sha256(output.encode()).hexdigest()[:16]}"


# On the cluster's head.


def check_output(output: str) -> None:
    """Check that a sweep can begin or go on there.

    Raises:
        UserError: it can't be written, or holds something else.
    """
    if is_address(output):
        store = _store_of(output)
        store.check_writable()
        names = {name.partition("/")[0] for name in store.list() if not name.startswith(".")}
        if SPEC_FILE not in names and names - set(LEFT_BEFORE_SPEC):
            raise UserError(f"{FLAG} {output} is not empty; name a new folder")
        return
    folder = local_path(FLAG, output)
    check_length(FLAG, folder)
    check_writable(FLAG, folder)
    check_free(folder, or_resume=True)


def has_begun(output: str) -> bool:
    """Whether a sweep has begun there.

    Raises:
        UserError: the store can't be read.
    """
    return _store_of(output).stamp(SPEC_FILE) is not None if is_address(output) else (Path(output) / SPEC_FILE).exists()


def begun_spec(output: str) -> Path:
    """The spec of the sweep that has begun there.

    Raises:
        UserError: the store can't be read.
    """
    if not is_address(output):
        return Path(output) / SPEC_FILE
    path = inputs_folder(output) / f"begun-{SPEC_FILE}"
    _store_of(output).get(SPEC_FILE, path)
    return path


def bring_inputs(output: str) -> None:
    """Have what was sent along lie in `inputs_folder`, as far as an earlier start has kept it.

    Raises:
        UserError: the store can't be read, or somebody else has made that folder.
    """
    if not is_address(output):
        return
    folder = inputs_folder(output)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder}: belongs to somebody else; it is needed for what was sent along")
    store = _store_of(output).within(INPUTS_DIR)
    for name in store.list():
        if not (folder / name).exists():
            store.get(name, folder / name)


def keep_inputs(output: str) -> None:
    """Have a later start find what lies in `inputs_folder`, on whichever machine.

    Raises:
        UserError: the store can't be written.
    """
    if not is_address(output):
        return
    store, folder = _store_of(output).within(INPUTS_DIR), inputs_folder(output)
    there = store.list()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in there:
            store.put(name, path)


@contextmanager
def experiment_at_hand(output: str) -> Iterator[Path]:
    """The experiment in a folder of the head, to read in and to ask its sweep; a stored one without weights.

    Raises:
        UserError: the store can't be read, or has nothing there.
    """
    with experiment_folder(FLAG, output, weights=False) if is_address(output) else nullcontext(Path(output)) as folder:
        yield folder


def _store_of(output: str) -> "Store":
    from basis.stored.store import Store  # imports pyarrow

    return Store(parse_address(FLAG, output), FLAG)
