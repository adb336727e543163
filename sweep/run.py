"""The command line: `python -m sweep.run SPEC`. Imports torch and Ray only once a valid spec is to be run."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[0] != str(Path(__file__).parent.parent):
        del sys.path[0]  # python -m looks into the working directory first, which may hold somebody else's packages
    from basis.packages import exit_if_hidden

    exit_if_hidden()  # by a package in PYTHONPATH, which would be imported next

from rich.console import Console
from rich.text import Text

from basis.directory import SPEC_FILE
from basis.errors import UserError
from basis.scripts import as_called
from sweep.cluster.environment import set_ray_environment
from sweep.cluster.probe import ask_cluster, await_resources
from sweep.cluster.resources import check_cpus, look_for_gpus
from sweep.command import EXIT_FAILED, run_command, set_up
from sweep.driver.ending import MOST_RESTARTS, Place, sweep_and_report
from sweep.machine.apart import Work
from sweep.machine.caches import OURS
from sweep.machine.environment import speak_utf8
from sweep.machine.output_folders import check_length, check_writable, folder_name, local_path
from sweep.preparation.first_look import check_room, look_at_files
from sweep.spec.schema import SweepSpec
from sweep.spec_file.load import load_trials, preset_about, preset_names, resumed_trials
from sweep.storage.kept_trials import check_finished
from sweep.storage.replacement import check_settled
from sweep.trial.config import TrialConfig
from sweep.tune.outcome import Outcome

WHAT_TO_RUN_ELSE = ("--resume", "--dry-run", "--write-data", "--address", "--dashboard")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, as `--help` lists them.

    Args:
        argv: the words of a command line that runs in this process alone, as in a notebook; without them the command is
            this process's own, and trials run in one that it outlives (see `sweep.machine.apart`).
    """
    words = sys.argv[1:] if argv is None else list(argv)
    return run_command(lambda console: _run(_parser().parse_args(words), words, argv is None, console), words)


class _Parser(argparse.ArgumentParser):
    """Ends in one line, as all else does, and not in a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help tells what is accepted")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=as_called("sweep.run"),
        description="Run a sweep of fine-tuning trials and build its report.",
        epilog="Exit code: 0 every trial succeeded, 1 some failed or could not be judged, or the report could not be "
        "built, or Ray died, 2 bad spec, data or machine, 130, 143 or 129 interrupted by Ctrl-C, SIGTERM or SIGHUP; "
        "with --reproduce 0 the losses match, 1 they do not, 2 the trial or its inputs are not there as they were.",
    )
    parser.add_argument("spec", nargs="?", metavar="SPEC", help="a preset's name or the path of a YAML file")
    parser.add_argument("--list", action="store_true", help="list the presets and exit")
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
        "--reproduce",
        metavar="TRIAL_DIR",
        help="run the finished trial in TRIAL_DIR once more and say whether its losses match: to the bit on the same "
        "CPU, code and versions, within a stated tolerance otherwise",
    )
    parser.add_argument("--write-data", metavar="DIR", help="write sft_train.json and sft_test.json, and exit")
    parser.add_argument("--address", help="run on the Ray cluster at this address (auto, or host:port)")
    parser.add_argument("--dashboard", action="store_true", help="start Ray's dashboard and print its address")
    return parser


def _run(arguments: argparse.Namespace, words: Sequence[str], apart: bool, console: Console) -> int:
    if arguments.list:
        for name in preset_names():
            console.print(Text.assemble((f"{name:12}", "bold"), " ", preset_about(name)), soft_wrap=True)
        return 0
    if arguments.reproduce is not None:
        _refuse(arguments, "--reproduce", "a trial runs again as it is recorded", also=WHAT_TO_RUN_ELSE)
        trial_dir = local_path("--reproduce", arguments.reproduce)
        check_finished(trial_dir)
        cache_dir = set_up(console)
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler that measures peaks would write lines of its own
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # likewise
        from sweep.driver.reproduce import reproduce  # imports torch

        return 0 if reproduce(trial_dir, cache_dir, console) else EXIT_FAILED
    spec, candidates, experiment_dir = _spec_and_directory(arguments)
    if arguments.dry_run:
        first_records = look_at_files(spec)
        set_up(console)
        from sweep.driver.dry_run import print_trials  # imports torch

        print_trials(spec, candidates, first_records, console)
        return 0
    if arguments.write_data is not None:
        folder = local_path("--write-data", arguments.write_data)
        check_writable("--write-data", folder)
        look_at_files(spec)
        cache_dir = set_up(console)
        check_room(spec, cache_dir, OURS)
        from sweep.driver.execute import write_data  # imports torch and Ray

        for path in write_data(spec, cache_dir, folder, console):
            console.print(Text(str(path)), soft_wrap=True)
        return 0
    where_key = "--output" if arguments.resume is None else "--resume"
    check_length(where_key, experiment_dir)
    check_writable(where_key, experiment_dir)
    if arguments.address is None:
        check_cpus(spec)
        look_for_gpus(spec)
    look_at_files(spec)
    cache_dir = set_up(console, set_ray_environment(arguments.address))
    check_room(spec, cache_dir, OURS)
    console.print(Text.assemble((spec.name, "bold"), f": {spec.about}"), soft_wrap=not console.is_terminal)
    if arguments.address is not None:
        await_resources(ask_cluster(arguments.address), spec.resources)  # refused now and not after preparing
    command = as_called("sweep.run", *words)

    def start(work: Work | None) -> Outcome:
        from sweep.driver.execute import Where, execute  # imports torch and Ray

        kept = experiment_dir / SPEC_FILE  # where this is another start of the same sweep
        where = Where(experiment_dir, cache_dir, arguments.address, arguments.dashboard)
        asked = resumed_trials(experiment_dir)[0] if os.path.isfile(kept) else spec
        return execute(asked, candidates, where, command, console, work)

    place = Place(experiment_dir, command, as_called("sweep.run", "--resume", str(experiment_dir)), console)
    return sweep_and_report(start, place, apart, MOST_RESTARTS if arguments.address is None else 0)


def _refuse(arguments: argparse.Namespace, flag: str, why: str, also: tuple[str, ...] = ()) -> None:
    """Refuse whatever would say beside `flag` what to run; `also` are further flags that don't go with it."""
    for name in ("SPEC", "--set", "--output", *also):
        given = getattr(arguments, name.strip("-").replace("-", "_").lower())
        if given not in (None, False, []):
            values = [] if given is True else given if isinstance(given, list) else [given]
            shown = " ".join([name, *map(str, values)])
            raise UserError(f"{shown} is not accepted with {flag}; {why}")


def _spec_and_directory(arguments: argparse.Namespace) -> tuple[SweepSpec, list[TrialConfig], Path]:
    if arguments.resume is not None:
        _refuse(arguments, "--resume", "a sweep continues as it was begun")
        experiment_dir = local_path("--resume", arguments.resume)
        if not os.path.isfile(experiment_dir / SPEC_FILE):
            raise UserError(f"--resume {arguments.resume}: no {SPEC_FILE} in it; name an experiment directory")
        check_settled(f"--resume {arguments.resume}", experiment_dir)
        try:
            return (*resumed_trials(experiment_dir), experiment_dir)
        except UserError as error:
            path = experiment_dir / SPEC_FILE
            raise UserError(f"{path}: is not as the sweep left it, and can't be made again: {error}") from None
    if not arguments.spec:
        raise UserError(f"SPEC is missing; name a preset ({', '.join(preset_names())}) or a YAML file")
    spec, candidates = load_trials(arguments.spec, arguments.set)
    chosen = f"experiments/{folder_name(spec.name)}" if arguments.output is None else arguments.output
    experiment_dir = local_path("--output", chosen)
    if os.path.isfile(experiment_dir) or (os.path.isdir(experiment_dir) and any(experiment_dir.iterdir())):
        raise UserError(
            f"--output {experiment_dir} is not an empty directory; name a new one, or continue it with --resume"
        )
    return spec, candidates, experiment_dir


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())


if __name__ == "__main__":
    script()
