"""Experiments in object storage, brought to this machine to be reported."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from basis.directory import REPORT_DIR
from basis.stored.address import is_address, parse_address

WHAT = "EXPERIMENT_DIR"
"""How messages name what the user has given."""


@dataclass
class Sent:
    """What has become of reports that belong to addresses.

    Attributes:
        address: of the only experiment, where that is one.
        failure: why something could not be sent; None: all is sent.
        is_final: whether that is so for good, as where one may only read.
    """

    address: str | None = None
    failure: str | None = None
    is_final: bool = False


@contextmanager
def folders_of(texts: Sequence[str]) -> Iterator[tuple[list[Path], Sent]]:
    """The folders of experiments, given as paths or addresses.

    A report that is written into one is sent to the store after the block, which says how that went.

    Raises:
        UserError: an address that is none, or a store that can't be read.
    """
    sent = Sent()
    with ExitStack() as stack:
        folders = []
        for text in texts:
            if not is_address(text):
                folders.append(Path(text))
                continue
            from basis.stored.kinds import is_weights
            from basis.stored.places import brought
            from basis.stored.store import StoreError

            def unsent(error: StoreError) -> None:
                sent.failure, sent.is_final = str(error), error.is_final

            address = parse_address(WHAT, text)
            reads = brought(address, WHAT, lambda name: not is_weights(name), f"{REPORT_DIR}/", unsent)
            folders.append(stack.enter_context(reads))
            sent.address = str(address)
        yield folders, sent
