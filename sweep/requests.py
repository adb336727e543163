"""What a command line asks for, as one value of a few kinds. Nothing is read or checked here but the words."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from basis.documents.documents import JSON_FLAG
from basis.errors import UserError
from basis.scripts import as_called
from sweep.schema.limits import GPUS_FLAG, TRIALS_FLAG, UNLIMITED, Limits, add_limits, limits_of
from sweep.schema.tracking import NOTIFY_VARIABLE
from sweep.spec_file.presets import preset_names

MOST_SHOWN = 1000
"""Examples that --show-data prints; who wants more reads the files."""


Watch = Literal["never", "while it runs", "until ended"]
"""How long a page of a sweep is served beside it."""


@dataclass(frozen=True)
class NewSweep:
    """A sweep that begins.

    Attributes:
        spec: a preset's name, the path of a YAML file, or what Python gives, a mapping.
        settings: changes to the spec, each "key=value".
        output: its experiment directory; None: one with the sweep's name and the time.
        or_resume: go on with the sweep in `output` if this one has begun there.
    """

    spec: str | Mapping[str, Any]
    settings: tuple[str, ...]
    output: str | None
    or_resume: bool = False


@dataclass(frozen=True)
class KeptSweep:
    """A sweep that goes on in its experiment directory."""

    directory: str


Sweep = NewSweep | KeptSweep


@dataclass(frozen=True)
class ListPresets:
    """--list: the presets' names."""


@dataclass(frozen=True)
class ExplainKey:
    """--explain KEY: what a key of a spec means."""

    key: str


@dataclass(frozen=True)
class ReproduceTrial:
    """--reproduce TRIAL_DIR: run a finished trial again and compare its losses."""

    trial_dir: str


@dataclass(frozen=True)
class ListTrials:
    """--dry-run: the trials of a sweep and their predicted memory, in JSON if `as_json`."""

    sweep: Sweep
    as_json: bool = False


@dataclass(frozen=True)
class WriteData:
    """--write-data DIR: the SFT set of a sweep as files in `folder`."""

    sweep: Sweep
    folder: str


@dataclass(frozen=True)
class ShowData:
    """--show-data N: so many train examples of a sweep as the model sees them."""

    sweep: Sweep
    examples: int


@dataclass(frozen=True)
class RunSweep:
    """Run a sweep.

    Attributes:
        sweep: which.
        address: of the Ray cluster to run on; None: on this machine.
        dashboard: whether Ray's dashboard is started.
        command: the command line that asks for it, as the user would type it.
        verbose: whether all tables and findings are printed at its end.
        watch: how long a page of it is served in a browser.
        as_json: whether what happens is told in JSON documents on standard output.
        limits: what its running trials may take together.
    """

    sweep: Sweep
    address: str | None
    dashboard: bool
    command: str
    verbose: bool = False
    watch: Watch = "never"
    as_json: bool = False
    limits: Limits = UNLIMITED


Request = ListPresets | ExplainKey | ReproduceTrial | ListTrials | WriteData | ShowData | RunSweep


def parse_request(words: Sequence[str]) -> Request:
    """What the words of a command line ask for.

    Raises:
        UserError: words that are unknown, missing, or don't go together.
        SystemExit: --help has been printed.
    """
    arguments = _parser().parse_args(words)
    if arguments.json:
        _refuse_without_json(arguments)
    if arguments.list:
        return ListPresets()
    if arguments.explain is not None:
        return ExplainKey(arguments.explain)
    if arguments.reproduce is not None:
        of_sweeps = ("--resume", "--dry-run", "--write-data", "--show-data", "--verbose")
        further = (*of_sweeps, "--address", "--dashboard", "--watch", "--keep-watching", TRIALS_FLAG, GPUS_FLAG)
        _refuse_beside("--reproduce", "a trial runs again as it is recorded", arguments, further)
        return ReproduceTrial(arguments.reproduce)
    sweep = _sweep(arguments)
    if arguments.dry_run:
        return ListTrials(sweep, arguments.json)
    if arguments.write_data is not None:
        return WriteData(sweep, arguments.write_data)
    if arguments.show_data is not None:
        return ShowData(sweep, arguments.show_data)
    told = [word for word in words if word != JSON_FLAG]  # the same sweep, told otherwise
    command = as_called("sweep.run", *map(_as_kept, told))
    return RunSweep(
        sweep,
        arguments.address,
        arguments.dashboard,
        command,
        verbose=arguments.verbose,
        watch=_watch(arguments),
        as_json=arguments.json,
        limits=limits_of(arguments),
    )


def _refuse_without_json(arguments: argparse.Namespace) -> None:
    """Refuse --json beside what has no document."""
    for name in ("--list", "--explain", "--reproduce", "--write-data", "--show-data"):
        if getattr(arguments, name.strip("-").replace("-", "_")) not in (None, False):
            raise UserError(f"{JSON_FLAG} is not accepted with {name}; accepted with --dry-run, or to run a sweep")


def _as_kept(word: str) -> str:
    """A word of the command line as files and messages have it: without the URL of `notify`, which may be a secret."""
    return re.sub(r"\b(notify=)\s*['\"]?https?:.*", rf"\g<1>${NOTIFY_VARIABLE}", word, flags=re.IGNORECASE | re.DOTALL)


def _watch(arguments: argparse.Namespace) -> Watch:
    if arguments.keep_watching:
        return "until ended"
    return "while it runs" if arguments.watch else "never"


def _sweep(arguments: argparse.Namespace) -> Sweep:
    if arguments.resume is not None:
        _refuse_beside("--resume", "a sweep continues as it was begun", arguments)
        return KeptSweep(arguments.resume)
    if not arguments.spec:
        raise UserError(f"SPEC is missing; name a preset ({', '.join(preset_names())}) or a YAML file")
    if arguments.or_resume and arguments.output is None:
        raise UserError("--or-resume needs --output DIR, which says where the sweep may have begun")
    return NewSweep(arguments.spec, tuple(arguments.set), arguments.output, arguments.or_resume)


def _refuse_beside(flag: str, why: str, arguments: argparse.Namespace, further: tuple[str, ...] = ()) -> None:
    """Refuse what does not go with a flag: words that say which sweep to run, and `further` flags."""
    for name in ("SPEC", "--set", "--output", "--or-resume", *further):
        given = getattr(arguments, name.strip("-").replace("-", "_").lower())
        if given not in (None, False, []):
            values = [] if given is True else given if isinstance(given, list) else [given]
            shown = " ".join([name, *map(str, values)])
            raise UserError(f"{shown} is not accepted with {flag}; {why}")


class OneLineParser(argparse.ArgumentParser):
    """Ends in one line, as all else does, and not in a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help tells what is accepted")


def _examples(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= MOST_SHOWN:
        raise UserError(f"--show-data {word} is not accepted; accepted: a whole number from 1 to {MOST_SHOWN}")
    return int(word)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=as_called("sweep.run"),
        description="Run a sweep of fine-tuning trials and build its report.",
        epilog="Exit code: 0 every trial succeeded or was stopped by request, 1 some failed or could not be judged, or "
        "the report could not be built, or Ray died, 2 bad spec, data or machine, 130, 143 or 129 interrupted by "
        "Ctrl-C, SIGTERM or SIGHUP; "
        "with --reproduce 0 the losses match, 1 they do not, 2 the trial or its inputs are not there as they were.",
    )
    parser.add_argument("spec", nargs="?", metavar="SPEC", help="a preset's name or the path of a YAML file")
    parser.add_argument("--list", action="store_true", help="list the presets and exit")
    parser.add_argument("--explain", metavar="KEY", help="explain a key of a spec, such as trial.lr, and exit")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of the spec, such as trial.steps=100",
    )
    parser.add_argument("--output", metavar="DIR", help="experiment directory (default: experiments/NAME-TIME)")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the trials with their predicted memory, and run nothing"
    )
    parser.add_argument("--resume", metavar="DIR", help="continue the sweep in DIR, keeping finished trials")
    parser.add_argument(
        "--or-resume",
        action="store_true",
        help="continue the sweep if it has begun in --output, or else begin it: the same command any number of times "
        "is one sweep",
    )
    parser.add_argument(
        "--reproduce",
        metavar="TRIAL_DIR",
        help="run the finished trial in TRIAL_DIR once more and say whether its losses match: to the bit on the same "
        "CPU, code and versions, within a stated tolerance otherwise",
    )
    parser.add_argument("--write-data", metavar="DIR", help="write sft_train.json and sft_test.json, and exit")
    parser.add_argument(
        "--show-data",
        type=_examples,
        metavar="N",
        help="print N train examples as the model sees them, with what the loss counts marked, and exit",
    )
    parser.add_argument("--address", help="run on the Ray cluster at this address (auto, or host:port)")
    add_limits(parser)
    parser.add_argument("--verbose", action="store_true", help="at the end print all tables and findings")
    parser.add_argument(
        JSON_FLAG,
        action="store_true",
        help="print JSON documents on standard output, and what people read on standard error (see docs/json.md)",
    )
    parser.add_argument("--dashboard", action="store_true", help="start Ray's dashboard and print its address")
    parser.add_argument(
        "--watch", action="store_true", help="serve a live page of the sweep on this machine, and print its address"
    )
    parser.add_argument(
        "--keep-watching", action="store_true", help="as --watch, and serve the page after the sweep, until Ctrl-C"
    )
    return parser
