"""The command line `python -m sweep.export DIR --to FOLDER`: writes the winner of a sweep for other programs."""

import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

import argparse
from functools import partial

from rich.console import Console
from rich.text import Text

from basis.errors import UserError
from basis.scripts import as_called, typed
from sweep.command import remarks_on, run_command, set_up
from sweep.machine.environment import speak_utf8
from sweep.machine.output_folders import check_length, local_path
from sweep.machine.stored_folders import bring_weights, experiment_folder
from sweep.machine.workshop import is_workshop
from sweep.requests import OneLineParser

EPILOG = """examples:
  export DIR --to winner                       the arm of the lowest test loss; an adapter as an adapter
  export DIR --arm "lora r8 adamw" --to r8     another arm, by its name in the report
  export DIR --best win_rate --to best         the best arm by another metric
  export DIR --to whole --merged               whole weights, which need no PEFT and no base model
  export DIR --to winner --push me/my-model    and onto the Hugging Face hub, with your token

Of several seeds the one with the median test loss is exported. A new repository is private.
Exit code: 0 done, 2 refused, 130 interrupted."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, as `--help` lists them."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command(
        lambda console: _export(_parser().parse_args(words), console), words, "interrupted; nothing unfinished is left"
    )


def _export(arguments: argparse.Namespace, console: Console) -> int:
    folder = local_path("--to", arguments.to)
    check_length("--to", folder)
    if folder.exists() and (not folder.is_dir() or any(not is_workshop(path) for path in folder.iterdir())):
        raise UserError(f"--to {arguments.to}: is there already; accepted: a folder that is new or empty")
    cache_dir = set_up(console)
    from sweep.exporting.export import export  # which needs torch, and a question to --help does not
    from sweep.exporting.push import check_push, push

    if arguments.push is not None:
        check_push(arguments.push)
    say = remarks_on(console)
    bring = partial(bring_weights, "DIR", arguments.directory)
    with experiment_folder("DIR", arguments.directory, weights=False) as experiment_dir:
        done = export(experiment_dir, arguments.arm, arguments.best, folder, arguments.merged, cache_dir, say, bring)
    console.print(Text(f"{done.label}: {done.why_arm}; {done.why_seed}"), soft_wrap=True)
    console.print(Text(f"{done.what}: {typed(folder)}"), soft_wrap=True)
    if arguments.push is not None:
        console.print(Text(f"pushed: {push(folder, arguments.push, say)}"), soft_wrap=True)
    return 0


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog=as_called("sweep.export"),
        description="Export the model of a sweep's best arm, or of a named one: an adapter for PEFT, or whole weights.",
        epilog=EPILOG.replace("  export", f"  {as_called('sweep.export')}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", metavar="DIR", help="the experiment directory of a sweep, or its address")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--arm", metavar="LABEL", help="the arm, by its name in the report")
    which.add_argument("--best", metavar="METRIC", help="the best arm by this metric, such as win_rate")
    parser.add_argument("--to", metavar="FOLDER", required=True, help="where it goes: a folder that is new or empty")
    parser.add_argument("--merged", action="store_true", help="whole weights, with the adapter in them")
    parser.add_argument("--push", metavar="OWNER/NAME", help="a repository on the hub that it is pushed to as well")
    return parser


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
