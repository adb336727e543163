"""Watches the processes of a Ray of our own, whose death leaves the process that drives it waiting for a minute."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from sweep.apart import Work, thread_aside

VITAL = ("gcs_server", "raylet")
"""The processes without which nothing goes on; this one has started them."""
LOOK_SECONDS = 0.3


@contextmanager
def ray_watched(work: Work) -> Iterator[None]:
    """Within, the death of a vital process of Ray is told at once, and ends this process with it.

    Ray itself would try to reach it again for up to a minute, and then abort.
    """
    vital = {process.pid: process.name() for process in psutil.Process().children() if process.name() in VITAL}
    ended, looking = threading.Event(), threading.Lock()

    def look() -> None:
        with looking:
            if not ended.is_set() and (
                deaths := [f"{name} {how}" for pid, name in vital.items() if (how := _end(pid))]
            ):
                work.tell({"ray_died": " and ".join(deaths)})
                os._exit(1)

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            look()

    thread_aside(watch)
    try:
        yield
    finally:
        look()  # what failed within may have failed for that
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
