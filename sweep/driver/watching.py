"""Serves a live page beside a sweep, in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from sweep.command import say_error
from sweep.machine.environment import with_our_code
from sweep.requests import Watch

END_SECONDS = 5.0
"""What the server gets to end."""


@contextmanager
def watched(watch: Watch, named: str, console: Console) -> Iterator[None]:
    """Serve the page of a sweep within the block. A server that can't start is told, and no reason not to sweep.

    Args:
        watch: how long; "until ended" waits for Ctrl-C after a block that has not ended by one.
        named: the sweep's directory, which need not be there yet, or the address where it is kept.
        console: told the address.
    """
    if watch == "never":
        yield
        return
    words = [sys.executable, "-m", "sweep.watch", named, "--beside"]
    pipe = subprocess.PIPE
    # a session of its own, so that Ctrl-C ends the sweep first
    with subprocess.Popen(
        words, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=with_our_code(), start_new_session=True
    ) as server:
        try:
            for line in server.stdout or ():
                console.print(line.rstrip("\n"), highlight=False, markup=False, soft_wrap=True)
            yield
            if watch == "until ended" and server.poll() is None:
                console.print("the page is served until Ctrl-C", style="dim")
                with suppress(KeyboardInterrupt):
                    server.wait()
        finally:
            _end(server)


def _end(server: "subprocess.Popen[str]") -> None:
    """End the server; it ends by itself when its standard input closes."""
    with suppress(OSError):
        if server.stdin is not None:
            server.stdin.close()
    try:
        server.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        say_error("the server of --watch did not end by itself and was killed")
