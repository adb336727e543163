"""python -m sweep.storing.answer: asks object storage for the driver of a sweep, which has no logins any more.

Its standard input has a line of JSON with `Orders`, and then one for each order: {"trial": name}, whose files it brings
into the driver's copy without weights; or {"folder": path, "content": fields of `Content`}, which it sends. It answers
each with a line of JSON: {"error": what went wrong, or null}.
"""

import json
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from basis.errors import UserError, name_failure
from basis.stored.address import parse_address
from basis.stored.contents import Content
from sweep.storing.trial_files import STORE, is_drivers

ERROR = "error"


@dataclass(frozen=True)
class Orders:
    """Where orders are carried out.

    Attributes:
        address: of the store, as a user types it.
        experiment_dir: the driver's copy.
    """

    address: str
    experiment_dir: str

    def to_line(self) -> str:
        """As a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def main() -> None:
    """Be the process that answers, until the input ends."""
    orders = Orders(**json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        error = None
        try:
            carry_out(json.loads(line), orders)
        except UserError as refusal:
            error = str(refusal)
        except OSError as failure:  # this machine's disk
            error = f"{STORE} {orders.address}: {name_failure(failure)}"
        print(json.dumps({ERROR: error}), flush=True)


def carry_out(order: dict[str, Any], orders: Orders) -> None:
    """Carry out one order.

    Raises:
        UserError: the store refuses, or is away for long.
        OSError: this machine's disk can't be read or written.
    """
    from basis.stored.copy import Copy  # import pyarrow
    from basis.stored.kinds import is_weights
    from basis.stored.store import Store
    from sweep.storing.patience import patiently

    store = Store(parse_address(STORE, orders.address), STORE)
    if trial := order.get("trial"):
        copy = Copy(store.within(trial), Path(orders.experiment_dir) / trial, is_drivers)
        patiently(lambda: copy.pull(lambda name: not is_weights(name)))
    else:
        patiently(partial(Content(**order["content"]).send, store, Path(order["folder"])))


if __name__ == "__main__":
    main()
