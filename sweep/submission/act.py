"""Runs on the cluster's head: `python -m sweep.submission.act ACTION OUTPUT`, for who has submitted the sweep there.

What it prints is the job's log, through which alone its asker can read it. Ray keeps logs, so one that may be long is
emptied once it has been read.
"""

import base64
import hashlib
import io
import json
import os
import signal
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from basis.directory import CHECKPOINT_FILE, CONTROL_DIR, INPUTS_DIR, SPEC_FILE, TRAINED_FILE
from basis.errors import UserError
from basis.stored.address import is_address
from basis.units import show_bytes
from sweep.progress.follow import follow
from sweep.steering.ask import ask, await_answer
from sweep.steering.request import Request
from sweep.steering.status import status_document
from sweep.storage.claim import LOCK_FILE, is_claimed
from sweep.submission.output import experiment_at_hand, has_begun, inputs_folder
from sweep.submission.variables import take_variables

if TYPE_CHECKING:
    from typing_extensions import Buffer

MOST_FETCHED_BYTES = 256 * 2**20
"""Of an experiment that is fetched. Beyond that the weights stay, which make up most of it."""
READ_SECONDS = 300
"""For which a log waits to be emptied by who has read it; afterwards it is emptied anyway."""
ANSWER_SECONDS = 15
LINE_BYTES = 6000
"""Of a file in a line of the log: Ray hands on no lines of more than 20,000 letters at once."""
DATA, ANSWER = "DATA ", "ANSWER "
LEFT_THERE = (CHECKPOINT_FILE, LOCK_FILE)
FOLDERS_LEFT_THERE = (INPUTS_DIR, CONTROL_DIR)


def status(output: Path, given: str) -> None:
    """Tell how far the sweep is; nothing if none has begun."""
    begun = (output / SPEC_FILE).is_file()
    _tell({"status": status_document(output, given).model_dump(mode="json") if begun else None})


def stop(output: Path, given: str) -> None:
    """Ask the running sweep to end as after Ctrl-C; tell whether it does, and what it said."""
    if not (output / SPEC_FILE).is_file() or not is_claimed(output):
        _tell({"runs": False, "said": "it does not run trials yet"})
        return
    try:
        decision = await_answer(output, ask(output, Request("stop", "command")), ANSWER_SECONDS)
        _tell({"runs": True, "said": decision.answer if decision else "it is busy, and stops when it is not"})
    except UserError as error:  # it has ended meanwhile
        _tell({"runs": False, "said": str(error)})


def fetch(output: Path, given: str) -> None:
    """Print the experiment as an archive in lines, then its hash and what stays there."""
    with _emptied_at_last():
        if not (output / SPEC_FILE).is_file():
            _tell({"refused": f"{given}: no sweep has begun there"})
            return
        files = list(_files(output))
        left = ""
        if (total := _size(files)) > MOST_FETCHED_BYTES:
            weights = [path for path in files if path.name == TRAINED_FILE]
            files = [path for path in files if path.name != TRAINED_FILE]
            left = f"{len(weights)} files of weights ({show_bytes(_size(weights))}) stay in {given}"
        if _size(files) > MOST_FETCHED_BYTES:
            most = show_bytes(MOST_FETCHED_BYTES)
            _tell({"refused": f"{given}: takes {show_bytes(total)}; accepted: {most}, or a copy from its storage"})
            return
        printed = _Printed()
        with tarfile.open(mode="w|gz", fileobj=printed) as archive:
            for path in files:
                content = path.read_bytes()  # as it is now: a sweep that runs goes on writing
                member = tarfile.TarInfo(str(path.relative_to(output)))
                member.size, member.mtime = len(content), int(path.stat().st_mtime)
                archive.addfile(member, io.BytesIO(content))
        printed.end()
        _tell({"sha256": printed.digest.hexdigest(), "files": len(files), "left": left})


def watch(output: Path, given: str) -> None:
    """Print a document for each event of the sweep, until the asker has heard enough."""
    with _emptied_at_last():
        reader, _writer = os.pipe()  # `follow` ends when its standard input does: never
        os.dup2(reader, 0)
        follow(output, 0)


class _Printed(io.RawIOBase):
    """A file that is printed in lines."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self._rest = b""

    def writable(self) -> bool:
        """It can be written to."""
        return True

    def write(self, data: "Buffer") -> int:
        """Print what makes whole lines, and keep the rest."""
        content = bytes(data)
        self.digest.update(content)
        self._rest += content
        while len(self._rest) >= LINE_BYTES:
            self._print(self._rest[:LINE_BYTES])
            self._rest = self._rest[LINE_BYTES:]
        return len(content)

    def end(self) -> None:
        """Print what is left."""
        self._print(self._rest)

    def _print(self, content: bytes) -> None:
        print(DATA + base64.b64encode(content).decode(), flush=True)


@contextmanager
def _emptied_at_last() -> Iterator[None]:
    """Empty the log behind the block, once the asker has stopped this job, or has had time enough to read."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
        time.sleep(READ_SECONDS)
    finally:
        sys.stdout.flush()
        os.ftruncate(sys.stdout.fileno(), 0)


def _files(output: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(output):
        if Path(folder) == output:
            folders[:] = [name for name in folders if name not in FOLDERS_LEFT_THERE]
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names) if name not in LEFT_THERE)


def _size(files: list[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def _tell(told: dict[str, object]) -> None:
    print(ANSWER + json.dumps(told), flush=True)


ACTIONS = {"status": status, "stop": stop, "fetch": fetch, "watch": watch}


def act(action: str, output: str) -> None:
    """Do what is asked with the experiment; each action is given its folder here, and how the user names it."""
    if is_address(output) and not has_begun(output):
        ACTIONS[action](inputs_folder(output), output)  # where no experiment is
        return
    with experiment_at_hand(output) as folder:
        ACTIONS[action](folder, output)


if __name__ == "__main__":
    take_variables(Path.cwd())
    act(sys.argv[1], sys.argv[2])
