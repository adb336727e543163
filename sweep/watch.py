"""Serves a live page of experiments: python -m sweep.watch [DIR or a folder of experiments]."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

from rich.console import Console

from basis.directory import RESULT_FILE, SPEC_FILE
from basis.errors import UserError
from basis.scripts import as_called
from sweep.command import run_command
from sweep.live.listening import listen
from sweep.machine.environment import speak_utf8
from sweep.machine.output_folders import local_path
from sweep.requests import OneLineParser

DEFAULT_FOLDER = "experiments"
LOOPBACK = "127.0.0.1"


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=as_called("sweep.watch"),
        description="Serve a live page of a sweep, running or finished, or of a folder of experiments.",
        epilog="Exit code: 0 ended by Ctrl-C or with the sweep that it was started beside, 2 bad directory, host or "
        "port.",
    )
    parser.add_argument(
        "directory",
        nargs="?",
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help=f"an experiment directory, or a folder of several (default: {DEFAULT_FOLDER})",
    )
    parser.add_argument("--port", type=int, metavar="N", help="listen on this port (default: a free one)")
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        metavar="ADDRESS",
        help=f"listen on this address of the machine (default: {LOOPBACK}, which nobody else reaches)",
    )
    parser.add_argument(
        "--beside",
        action="store_true",
        help="end when standard input closes, and wait for DIR if it is not there yet; what sweep.run --watch starts",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, as `--help` lists them."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command(lambda console: _watch(_parser().parse_args(words), console), words)


def _watch(arguments: argparse.Namespace, console: Console) -> int:
    directory = local_path("DIR", arguments.directory)
    if not directory.is_dir() and not arguments.beside:
        raise UserError(f"{arguments.directory} is not a directory; give that of an experiment, or a folder of several")
    if (directory / RESULT_FILE).is_file() and (directory.parent / SPEC_FILE).is_file():
        raise UserError(f"{arguments.directory} is a trial's directory; give that of its sweep: {directory.parent}")
    listening = listen(arguments.host, arguments.port)
    from sweep.live.serve import serve  # imports pandas

    asyncio.run(serve(directory, arguments.host, listening, arguments.beside, console))
    return 0


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
