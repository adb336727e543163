"""One driver at a time works in an experiment directory, whichever nodes of a cluster drivers are on.

A lock on a file does not tell: file systems that nodes share may have none. An actor's name is taken once in a
cluster. The actor belongs to the driver's job, so Ray ends it when the driver ends, however that dies; should the node
die that it is on, Ray starts it again elsewhere, and the name stays taken.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from basis.errors import UserError

NAMESPACE = "sft-sweep"
WAIT_SECONDS = 10.0
"""For which a name may stay taken after its driver has died."""
POLL_SECONDS = 0.5


class Claim:
    """Has a name as long as it lives, and does nothing."""


@contextmanager
def claimed_on_cluster(experiment_dir: Path) -> Iterator[None]:
    """Within, no other driver of the cluster that this process is attached to works in the directory.

    Raises:
        UserError: another one does.
    """
    claim = ray.remote(num_cpus=0, max_restarts=-1)(Claim)
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            held = claim.options(name=str(experiment_dir), namespace=NAMESPACE).remote()
            break
        except ValueError:  # the name is taken
            if time.monotonic() > end:
                raise UserError(f"{experiment_dir}: another driver of this cluster works in this directory") from None
            time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        ray.kill(held)
