"""The process of a sweep that a Python session runs: python -m sweep.api.process, told on standard input.

It ends when its standard input closes: then the session has ended, however it did.
"""

import json
import os
import signal
import sys
from typing import Any

from sweep.command import run_command
from sweep.driver import commands
from sweep.machine.apart import thread_aside
from sweep.machine.environment import speak_utf8
from sweep.requests import KeptSweep, NewSweep, RunSweep


def main() -> int:
    """Run the sweep that the first line of standard input asks for, and return the exit code of `sweep.run`."""
    asked = json.loads(sys.stdin.buffer.readline())
    thread_aside(_end_with_session)
    return run_command(lambda console: commands.run_sweep(_request(asked), True, console), [])


def _request(asked: dict[str, Any]) -> RunSweep:
    new = asked.get("new")
    sweep = NewSweep(new["spec"], tuple(new["settings"]), new["output"]) if new else KeptSweep(asked["kept"])
    return RunSweep(sweep, asked["address"], dashboard=False, command=asked["command"])


def _end_with_session() -> None:
    """Wait until standard input closes, and then ask this process to end."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    speak_utf8()
    sys.exit(main())
