"""Experiments in object storage, brought to this machine to be reported."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from basis.directory import REPORT_DIR
from basis.stored.address import is_address, parse_address

WHAT = "EXPERIMENT_DIR"
"""How messages name what the user has given."""


@contextmanager
def folders_of(texts: Sequence[str]) -> Iterator[list[Path]]:
    """The folders of experiments, given as paths or addresses. A report that is written into one is sent to the store.

    Raises:
        UserError: an address that is none, or a store that can't be read.
    """
    with ExitStack() as stack:
        folders = []
        for text in texts:
            if not is_address(text):
                folders.append(Path(text))
                continue
            from basis.stored.copy import is_weights  # imports pyarrow
            from basis.stored.places import brought

            copy = brought(parse_address(WHAT, text), WHAT, lambda name: not is_weights(name), sends=f"{REPORT_DIR}/")
            folders.append(stack.enter_context(copy))
        yield folders
