"""Sends a sweep to trackers, all that they lack of it: python -m sweep.track DIR [--to TRACKER ...]."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

from rich.console import Console

from basis.directory import EVENTS_FILE, SPEC_FILE
from basis.errors import UserError
from basis.scripts import as_called
from sweep.command import EXIT_FAILED, remarks_on, run_command
from sweep.driver.tracking import installed, send
from sweep.machine.environment import speak_utf8
from sweep.machine.stored_folders import experiment_folder
from sweep.requests import OneLineParser
from sweep.schema.tracking import TRACKERS
from sweep.spec_file.load import load_kept_plan


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=as_called("sweep.track"),
        description="Send a finished or interrupted sweep to trackers: what they lack of it, into the runs that they "
        "have. Also what was judged later.",
        epilog="Exit code: 0 everything is sent, 1 something is not, 2 bad directory or tracker.",
    )
    parser.add_argument("directory", metavar="DIR", help="an experiment directory, or its address")
    parser.add_argument(
        "--to",
        nargs="+",
        choices=TRACKERS,
        metavar="TRACKER",
        help=f"which ones: {', '.join(TRACKERS)} (default: those of the spec)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: send a sweep to trackers; returns the exit code, as `--help` lists them."""
    words = sys.argv[1:] if argv is None else list(argv)

    def track(console: Console) -> int:
        arguments = _parser().parse_args(words)
        with experiment_folder("DIR", arguments.directory, weights=False, sends=True) as directory:
            return _track(directory, arguments, as_called("sweep.track", *words), console)

    return run_command(track, words)


def _track(directory: Path, arguments: argparse.Namespace, again: str, console: Console) -> int:
    """Send the sweep of a directory; `again` is this command."""
    for name in (SPEC_FILE, EVENTS_FILE):
        if not (directory / name).is_file():
            raise UserError(f"{arguments.directory}: no {name} in it; name an experiment directory, or its address")
    spec = load_kept_plan(directory).spec
    asked = tuple(dict.fromkeys(arguments.to)) if arguments.to else spec.track
    if not asked:
        raise UserError(f"{arguments.directory}: its spec has no trackers; name some with --to {TRACKERS[0]}")
    trackers = installed(asked, remarks_on(console), again)
    all_sent = send(spec.name, trackers, directory, again, console)
    return 0 if all_sent and trackers == asked else EXIT_FAILED


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
