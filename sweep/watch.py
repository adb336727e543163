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
from basis.stored.address import Address, is_address, parse_address
from sweep.command import remarks_on, run_command
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
        help=f"an experiment directory, or a folder of several, or the address of one (default: {DEFAULT_FOLDER})",
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
    if is_address(arguments.directory):
        return _watch_stored(parse_address("DIR", arguments.directory), arguments, console)
    directory = local_path("DIR", arguments.directory)
    if not directory.is_dir() and not arguments.beside:
        raise UserError(f"{arguments.directory} is not a directory; give that of an experiment, or a folder of several")
    if (directory / RESULT_FILE).is_file() and (directory.parent / SPEC_FILE).is_file():
        raise UserError(f"{arguments.directory} is a trial's directory; give that of its sweep: {directory.parent}")
    listening = listen(arguments.host, arguments.port)
    from sweep.live.known.folder import Folder  # imports pandas
    from sweep.live.serve import serve

    folder = Folder(directory, one=arguments.beside)
    asyncio.run(serve(folder, str(directory), arguments.host, listening, arguments.beside, console))
    return 0


def _watch_stored(address: Address, arguments: argparse.Namespace, console: Console) -> int:
    listening = listen(arguments.host, arguments.port)
    from sweep.live.known.stored_folder import StoredFolder  # imports pandas and pyarrow
    from sweep.live.serve import serve

    folder = StoredFolder(address, "DIR", remarks_on(console), one=arguments.beside)
    if not arguments.beside:
        folder.bring()
    asyncio.run(serve(folder, address.typed, arguments.host, listening, arguments.beside, console))
    return 0


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
