"""Watches the processes of a Ray of our own, whose death leaves the process that drives it waiting for a minute."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from basis.errors import RayDiedError
from sweep.machine.apart import Work, thread_aside

VITAL = ("gcs_server", "raylet")
"""The processes without which nothing goes on; this one has started them."""
LOOK_SECONDS = 0.3


@contextmanager
def ray_watched(work: Work) -> Iterator[None]:
    """Within, while Ray starts and runs, the death of a vital process of it is told at once, and ends this process.

    Ray itself would try to reach it again for up to a minute, and then abort.
    """
    vital: dict[int, str] = {}
    ended, looking = threading.Event(), threading.Lock()

    def look() -> None:
        with looking:
            if len(vital) < len(VITAL):  # Ray is still starting
                vital.update({one.pid: one.name() for one in psutil.Process().children() if one.name() in VITAL})
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
    """How a child of this process ended; empty while it lives. It is left to Ray to be waited for."""
    try:
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # Ray has noticed
        return "ended"
    if end is None:
        return ""
    if end.si_code == os.CLD_EXITED:
        return f"ended with code {end.si_status}"
    return f"was ended by {signal.Signals(end.si_status).name}"
