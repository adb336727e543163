"""Watches the processes of a Ray of our own. Without that, the driver would wait a minute after they have died."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from basis.errors import RayDiedError
from sweep.machine.apart import Work, thread_aside

VITAL = ("gcs_server", "raylet")
"""Names of Ray's processes without which nothing goes on. This process starts them."""
LOOK_SECONDS = 0.3


@contextmanager
def ray_watched(work: Work) -> Iterator[None]:
    """Within, while Ray starts and runs, the death of one of its vital processes is told at once and ends this process.

    Ray itself would try to reach the dead process for up to a minute, and then abort.
    """
    vital: dict[int, str] = {}
    ended, looking = threading.Event(), threading.Lock()

    def look() -> None:
        with looking:
            if len(vital) < len(VITAL):  # Ray is still starting
                vital.update(
                    {child.pid: child.name() for child in psutil.Process().children() if child.name() in VITAL}
                )
            deaths = [f"{name} {how}" for pid, name in vital.items() if (how := _end(pid))]
            if deaths and not ended.is_set():
                work.tell({"ray_died": " and ".join(deaths)})
                os._exit(1)

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            with suppress(psutil.Error):  # a process that ends while it is looked at
                look()

    thread_aside(watch)
    try:
        yield
    except RayDiedError:
        raise  # it could not start, and says why
    except BaseException:
        look()  # what failed may have failed for that
        raise
    finally:
        with looking:
            ended.set()


def _end(pid: int) -> str:
    """How a child of this process ended; empty while it lives. Ray still can wait for the child."""
    try:
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # Ray has noticed
        return "ended"
    if end is None:
        return ""
    if end.si_code == os.CLD_EXITED:
        return f"ended with code {end.si_status}"
    return f"was ended by {signal.Signals(end.si_status).name}"
