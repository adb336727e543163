"""The command line `python -m sweep.chat DIR`: talk to the winner of a sweep, or to two arms side by side."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

import argparse
import math
from functools import partial

from rich.console import Console

from basis.directory import SPEC_FILE
from basis.errors import UserError
from basis.scripts import as_called
from sweep.command import remarks_on, run_command, set_up
from sweep.machine.environment import speak_utf8
from sweep.machine.stored_folders import bring_weights, experiment_folder
from sweep.requests import OneLineParser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, as `--help` lists them."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command(lambda console: _chat(_parser().parse_args(words), console), words)


def _chat(arguments: argparse.Namespace, console: Console) -> int:
    with experiment_folder("DIR", arguments.directory, weights=False) as experiment_dir:
        return _chat_in(experiment_dir, arguments, console)


def _chat_in(experiment_dir: Path, arguments: argparse.Namespace, console: Console) -> int:
    if not (experiment_dir / SPEC_FILE).is_file():
        raise UserError(f"{arguments.directory} is not the directory of an experiment: it has no {SPEC_FILE}")
    names = ("temperature", "top_k", "new_tokens", "seed")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    cache_dir = set_up(console)
    from sweep.chatting.session import find_speakers, talk  # which needs torch, and a question to --help does not

    say = remarks_on(console) if sys.stdin.isatty() else lambda text: None
    bring = partial(bring_weights, "DIR", arguments.directory)
    talk(find_speakers(experiment_dir, arguments.arm, arguments.against, given, cache_dir, say, bring), console)
    return 0


def _number(flag: str, least: int, kind: type[int] | type[float]) -> Callable[[str], float]:
    accepted = "a number above 0" if kind is float else f"a whole number from {least}"

    def read(word: str) -> float:
        try:
            value = kind(word)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= least and (kind is int or value > 0)):
            raise UserError(f"{flag} {word} is not accepted; accepted: {accepted}")
        return value

    return read


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=as_called("sweep.chat"),
        description="Talk to the best arm of a sweep, or to two models side by side under the same random draws.",
        epilog="Turns are read from a terminal, or line by line from a pipe. Exit code: 0 ended, 2 refused, 143 or 129 "
        "interrupted by SIGTERM or SIGHUP.",
    )
    parser.add_argument("directory", metavar="DIR", help="the experiment directory of a sweep, or its address")
    parser.add_argument("--arm", metavar="LABEL", help="the arm, by its name in the report (default: the best)")
    parser.add_argument("--against", metavar="LABEL", help="another arm beside it, or `base`, the base model")
    for flag, least, kind, about in (
        ("--temperature", 0, float, "sampling temperature"),
        ("--top-k", 1, int, "sample from this many likeliest tokens; 1 is greedy"),
        ("--new-tokens", 1, int, "longest answer, in tokens"),
        ("--seed", 0, int, "seed of the draws"),
    ):
        parser.add_argument(
            flag, type=_number(flag, least, kind), metavar="N", help=f"{about} (default: the spec's `reward`)"
        )
    return parser


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
