"""The command line: `python -m sweep.run SPEC`. Imports torch and Ray only once a valid spec is to be run."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

from rich.console import Console

from sweep.command import run_command
from sweep.driver import commands
from sweep.machine.environment import speak_utf8
from sweep.requests import (
    ExplainKey,
    ListPresets,
    ListTrials,
    ReproduceTrial,
    Request,
    RunSweep,
    ShowData,
    WriteData,
    parse_request,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, as `--help` lists them.

    Args:
        argv: the words of a command line that runs in this process alone, as in a notebook; without them the command is
            this process's own, and trials run in one that it outlives (see `sweep.machine.apart`).
    """
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command(lambda console: _answer(parse_request(words), argv is None, console), words)


def _answer(request: Request, apart: bool, console: Console) -> int:
    match request:
        case ListPresets():
            return commands.list_presets(console)
        case ExplainKey():
            return commands.explain_key(request, console)
        case ReproduceTrial():
            return commands.reproduce_trial(request, console)
        case ListTrials():
            return commands.list_trials(request, console)
        case WriteData():
            return commands.write_data(request, console)
        case ShowData():
            return commands.show_data(request, console)
        case RunSweep():
            return commands.run_sweep(request, apart, console)
    assert_never(request)


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
