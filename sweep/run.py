"""The command line: `python -m sweep.run SPEC`. Imports torch and Ray only once a valid spec is to be run.

From Python, this module is also the function `run`: see `sweep.api.sweeps.run`, which it calls.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, assert_never

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

from rich.console import Console

from sweep.api import sweeps
from sweep.api.results import SweepResults
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


class _RunModule(ModuleType):
    """This module as `from sweep import run` finds it, whatever was imported before: it can be called."""

    def __call__(
        self,
        spec: str | os.PathLike[str] | Mapping[str, Any],
        output: str | os.PathLike[str] | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        address: str | None = None,
    ) -> SweepResults:
        return sweeps.run(spec, output, settings=settings, address=address)

    __call__.__doc__ = sweeps.run.__doc__


sys.modules[__name__].__class__ = _RunModule  # as Python's data model has it, "Customizing module attribute access"


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
