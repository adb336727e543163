"""The command line `python -m sweep.control DIR ACTION`: asks a running sweep for something, and prints its answer."""

import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

import argparse

from rich.console import Console
from rich.text import Text

from basis.control_record import clock_time
from basis.directory import FINISHED_FILE, SPEC_FILE
from basis.documents.documents import JSON_FLAG, print_document
from basis.errors import UserError
from basis.scripts import as_called
from basis.stored.address import is_address, parse_address
from sweep.command import EXIT_BAD_SPEC, run_command, say_error
from sweep.machine.environment import speak_utf8
from sweep.machine.output_folders import local_path
from sweep.machine.stored_folders import experiment_folder
from sweep.requests import OneLineParser
from sweep.steering.ask import answers, ask_and_wait
from sweep.steering.request import Request
from sweep.steering.status import status_document
from sweep.steering.words import request_in_words
from sweep.storage.claim import is_claimed

ANSWER_SECONDS = 60.0
"""For which the command waits: planning a trial's memory takes a few seconds, of a large model more."""

EXAMPLES = """examples:
  control DIR stop TRIAL             it ends at its next report; its numbers are left out of comparisons
  control DIR start TRIAL            it runs on from its checkpoint
  control DIR stop                   the sweep ends as after Ctrl-C, and can be continued
  control DIR clone TRIAL lr=3e-4    a trial like another one but for some fields
  control DIR add '{method: lora, rank: 16, optimizer: adamw, lr: 1e-3}'
  control DIR seeds +2               two further seeds of every tested arm
  control DIR seeds +2 ARM           or of one, by its name, such as "lora r8 adamw", or that of one of its trials
  control DIR status                 what was asked so far, and what came of it

DIR may be an address, such as s3://bucket/path; the sweep may then run on another machine.
Everything is recorded in DIR, kept by a resume and told in the report.
Exit code: 0 done, 2 refused or the sweep does not run, 130 interrupted."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, as `--help` lists them."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command(
        lambda console: _answer(_parser().parse_args(words), console),
        words,
        "interrupted; a request that was asked stays, and is decided",
    )


def _answer(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.action == "status":
        return _tell_status(arguments.directory, arguments.json, console)
    request = _request(arguments)
    if is_address(arguments.directory):
        from sweep.steering.ask_stored import ask_stored  # imports pyarrow

        named = arguments.directory
        decision = ask_stored(parse_address("DIR", named), "DIR", request, ANSWER_SECONDS)
    else:
        experiment_dir = local_path("DIR", arguments.directory)
        named = str(experiment_dir)
        decision = ask_and_wait(experiment_dir, request, ANSWER_SECONDS)
    if decision is None:
        status = as_called("sweep.control", named, "status")
        console.print(Text(f"asked, and not answered within {ANSWER_SECONDS:g} s; see: {status}"), soft_wrap=True)
        return 0
    if decision.refused:
        say_error(decision.answer)
        return EXIT_BAD_SPEC
    console.print(Text(decision.answer), soft_wrap=True)
    return 0


def _tell_status(given: str, as_json: bool, console: Console) -> int:
    """Tell whether a sweep runs, and what was asked of it so far; `given` is its directory or address."""
    with experiment_folder("DIR", given, weights=False) as experiment_dir:
        if not (experiment_dir / SPEC_FILE).is_file():
            raise UserError(f"{given}: no {SPEC_FILE} in it; name the directory of a sweep, or its address")
        if is_address(given):
            from sweep.steering.ask_stored import runs_stored  # imports pyarrow

            named, running = given, runs_stored(parse_address("DIR", given), "DIR")
        else:
            named, running = str(experiment_dir), is_claimed(experiment_dir)
        if as_json:
            print_document(status_document(experiment_dir, given, running), sys.stdout)
            return 0
        return _print_status(experiment_dir, named, running, console)


def _print_status(experiment_dir: Path, named: str, running: bool, console: Console) -> int:
    """Print it, a line each."""
    finished = len(list(experiment_dir.glob(f"*/{FINISHED_FILE}")))
    lines = [f"{named}: its sweep {'runs' if running else 'does not run'}; {finished} trials have finished"]
    for decision in answers(experiment_dir).values():
        refused = "refused: " if decision.refused else ""
        lines.append(f"{clock_time(decision.time)}  {decision.words} ({decision.origin}): {refused}{decision.answer}")
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    return 0


def _request(arguments: argparse.Namespace) -> Request:
    match arguments.action:
        case "add":
            words = ["add", arguments.config]
        case "clone":
            words = ["clone", arguments.trial, *arguments.changes]
        case "seeds":
            words = ["seeds", arguments.number, *([] if arguments.arm is None else [arguments.arm])]
        case action:
            words = [action, *([] if arguments.trial is None else [arguments.trial])]
    return request_in_words(words, "command")


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog=as_called("sweep.control"),
        description="Ask a running sweep to stop, add or clone trials, or to run arms with further seeds.",
        epilog=EXAMPLES.replace("  control", f"  {as_called('sweep.control')}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", metavar="DIR", help="the experiment directory of a sweep, or its address")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    stop = actions.add_parser("stop", help="stop a trial; without TRIAL the whole sweep")
    stop.add_argument("trial", nargs="?", metavar="TRIAL", help="name of the trial's directory")
    start = actions.add_parser("start", help="have a stopped trial run on")
    start.add_argument("trial", metavar="TRIAL", help="name of the trial's directory")
    add = actions.add_parser("add", help="add a trial")
    add.add_argument("config", metavar="CONFIG", help="its fields, as in a branch of space, in JSON or YAML")
    clone = actions.add_parser("clone", help="add a trial like another one but for some fields")
    clone.add_argument("trial", metavar="TRIAL", help="name of the other's directory")
    clone.add_argument("changes", nargs="+", metavar="FIELD=VALUE", help="a field in which they differ")
    seeds = actions.add_parser("seeds", help="run the tested arms with further seeds")
    seeds.add_argument("number", metavar="+N", help="how many")
    seeds.add_argument("arm", nargs="?", metavar="ARM", help="one arm alone, by its name or that of one of its trials")
    status = actions.add_parser("status", help="print what was asked so far, and what came of it")
    status.add_argument(
        JSON_FLAG, action="store_true", help="print how far the sweep is, too, as a JSON document (see docs/json.md)"
    )
    return parser


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
