"""Runs the server until it is told to end, and prints the address that opens it."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web
from rich.console import Console

from sweep.live.access import Access
from sweep.live.known.analyst import Analyst
from sweep.live.known.folder import Folder
from sweep.live.server import make_app


async def serve(
    folder: Folder, named: str, host: str, listening: socket.socket, beside: bool, console: Console
) -> None:
    """Serve a folder until Ctrl-C, SIGTERM or SIGHUP.

    Args:
        folder: an experiment, or a folder of them.
        named: how the user names it.
        host: the address that it listens on.
        listening: the socket.
        beside: `folder` is that of a sweep that begins; end when standard input closes.
        console: told the address; with a terminal as standard input, Enter has a new one printed.
    """
    access = Access(host, listening.getsockname()[1])
    app = make_app(folder, access, Analyst())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        for line in _told(named, access, os.environ):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        if beside:
            _say_no_more()
        await until_ended(beside, lambda: console.print(access.new_address(), highlight=False, soft_wrap=True))
    finally:
        await runner.cleanup()


def _told(named: str, access: Access, variables: "os._Environ[str]") -> list[str]:
    """What is printed at the start."""
    remote = "" if "SSH_CONNECTION" in variables else "if this machine is a remote one, first, on yours: "
    tunnel = f"ssh -N -L {access.port}:127.0.0.1:{access.port} USER@HOST"
    lines = [f"Watching {named}", f"  {access.new_address()}"]
    if access.host in ("127.0.0.1", "localhost", "[::1]"):
        lines.append(f"  {remote or 'from your own machine, first: '}{tunnel}")
    else:
        lines.append("  What it sends is not encrypted; where others share the network, prefer a tunnel to 127.0.0.1")
    lines.append(
        "  The address opens the page once, in one browser." + (" Enter prints another." if _has_terminal() else "")
    )
    return lines


def _has_terminal() -> bool:
    with suppress(ValueError, OSError, AttributeError):
        return sys.stdin.isatty()
    return False


def _say_no_more() -> None:
    """Close what is printed to: whoever started this process reads to its end, and prints on the same terminal."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


async def until_ended(beside: bool, print_address: Callable[[], None]) -> None:
    """Wait for a signal, or for the end of standard input; Enter in a terminal prints a new address."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, ended.set)

    def read() -> None:
        try:
            content = os.read(sys.stdin.fileno(), 4096)
        except OSError:  # the terminal is another process's by now, or gone
            content = b""
        if content and not beside:
            print_address()
        elif not content:
            loop.remove_reader(sys.stdin.fileno())
            if beside:
                ended.set()

    if beside or _has_terminal():
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)  # in the background, reading fails and does not stop the server
        loop.add_reader(sys.stdin.fileno(), read)
    await ended.wait()
