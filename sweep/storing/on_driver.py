"""What the driver of a stored sweep does for trials on nodes that share no folder with it.

A process of its own asks the store: the driver forgets all logins before it starts Ray, which would tell them to nodes
and logs (see `sweep.cluster.privacy`).
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from basis.errors import UserError
from basis.stored.contents import Content
from basis.units import show_bytes
from model.weight_files import weight_files
from sweep.hub.fetch import SMALL_FILES, Say
from sweep.inputs import StoredSweep, SweepInputs
from sweep.machine.environment import with_our_code
from sweep.storing.answer import ERROR, Orders


class StoreAtHand:
    """The process that asks the store; see `sweep.storing.answer`."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        """It has been told where the store is."""
        self._process, self._address = process, address

    def with_contents(self, inputs: Mapping[str | None, SweepInputs], say: Say) -> dict[str | None, SweepInputs]:
        """Send tokens and weights to the store, from where nodes bring them. What comes from the hub they get there.

        Args:
            inputs: what the sweep's trials share, by what they say of their base model.
            say: told what is sent.

        Returns:
            The inputs, which say where their contents are.

        Raises:
            UserError: the store can't be written.
        """
        contents: dict[str, Content] = {}
        for folder, files in files_needed(inputs.values()).items():
            contents[str(folder)] = content = Content.of(folder, files)
            self._ask({"folder": str(folder), "content": asdict(content)})
        size = sum(sealed["bytes"] for content in contents.values() for sealed in content.files.values())
        say(f"tokens and weights are stored for the nodes: {show_bytes(size)}")
        stored = StoredSweep(self._address, contents)
        return {model: replace(of_model, stored=stored) for model, of_model in inputs.items()}

    def bring(self, trial: str) -> None:
        """Bring the files of a trial that has ended into the driver's copy, without its weights.

        Raises:
            UserError: the store can't be read, or this disk not be written.
        """
        self._ask({"trial": trial})

    def _ask(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise UserError(f"{self._address}: the process that asks the store has died")
        if error := json.loads(answer)[ERROR]:
            raise UserError(error)


@contextmanager
def store_at_hand(address: str | None, experiment_dir: Path) -> Iterator[StoreAtHand | None]:
    """Ask a store within the block, with the logins that this process has now.

    Args:
        address: where the sweep is kept, as the user typed it; None: in a folder that all nodes share.
        experiment_dir: the driver's copy.
    """
    if address is None:
        yield None
        return
    with subprocess.Popen(
        [sys.executable, "-m", "sweep.storing.answer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=with_our_code(),
        start_new_session=True,  # so that Ctrl-C ends the sweep, and not who answers it
        text=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(Orders(address, str(experiment_dir)).to_line())
        yield StoreAtHand(process, address)


def files_needed(inputs: Iterable[SweepInputs]) -> dict[Path, set[Path]]:
    """The files that trials read, by their folder."""
    needed: dict[Path, set[Path]] = defaultdict(set)
    for of_model in inputs:
        tokens = (of_model.train_tokens, of_model.test_tokens, of_model.validation_tokens, of_model.general_tokens)
        for folder in {path.parent for path in tokens if path is not None}:
            needed[folder].update(folder.glob("*.npy"))
        models = {of_model.base_model, of_model.reward.model} - {None}
        for name in {*models, of_model.tokenizer} - of_model.snapshots.keys():
            folder = Path(str(name))
            needed[folder].update(path for pattern in SMALL_FILES for path in folder.glob(pattern))
            if name in models:
                needed[folder].update(weight_files(folder))
    return needed
