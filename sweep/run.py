"""The command line: `python -m sweep.run SPEC`. Imports torch and Ray only once a valid spec is to be run."""

import argparse
import os
import shlex
import sys
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from sweep.errors import UserError
from sweep.load_spec import load_spec, parse_spec, preset_about, preset_names
from sweep.names import REPLACEMENT_DIR, SPEC_FILE
from sweep.ray_environment import set_ray_environment
from sweep.read_yaml import read_yaml
from sweep.search_space import candidate_trials
from sweep.spec import SweepSpec

WHAT_TO_RUN_ELSE = ("--resume", "--dry-run", "--write-data", "--address", "--dashboard")
EXIT_FAILED, EXIT_BAD_SPEC, EXIT_INTERRUPTED = 1, 2, 130


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code, as `--help` lists them."""
    arguments = _parser().parse_args(argv)
    console = Console()
    try:
        return _run(arguments, console)
    except UserError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        return EXIT_BAD_SPEC
    except KeyboardInterrupt:
        console.print("interrupted")
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sweep.run",
        description="Run a sweep of fine-tuning trials and build its report.",
        epilog="Exit code: 0 every trial succeeded, 1 some failed or could not be judged, 2 bad spec or data, "
        "130 interrupted; with --reproduce 0 the losses match, 1 they do not, 2 the trial or its inputs are not there "
        "as they were.",
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
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="experiment directory (default: experiments/NAME-TIME)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the trials with their predicted memory, and run nothing"
    )
    parser.add_argument("--resume", type=Path, metavar="DIR", help="continue the sweep in DIR, keeping finished trials")
    parser.add_argument(
        "--reproduce",
        type=Path,
        metavar="TRIAL_DIR",
        help="run the finished trial in TRIAL_DIR once more and say whether its losses match: to the bit on the same "
        "CPU, code and versions, within a stated tolerance otherwise",
    )
    parser.add_argument(
        "--write-data", type=Path, metavar="DIR", help="write sft_train.json and sft_test.json, and exit"
    )
    parser.add_argument("--address", help="run on the Ray cluster at this address (auto, or host:port)")
    parser.add_argument("--dashboard", action="store_true", help="start Ray's dashboard and print its address")
    return parser


def _run(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.list:
        for name in preset_names():
            console.print(Text.assemble((f"{name:12}", "bold"), " ", preset_about(name)), soft_wrap=True)
        return 0
    if arguments.reproduce:
        _refuse(arguments, "--reproduce", "a trial runs again as it is recorded", also=WHAT_TO_RUN_ELSE)
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler that measures peaks would write lines of its own
        from sweep.reproduce import reproduce  # imports torch

        return 0 if reproduce(arguments.reproduce, cache_dir(), console) else EXIT_FAILED
    spec, experiment_dir = _spec_and_directory(arguments)
    candidates = candidate_trials(spec)
    if arguments.dry_run:
        from sweep.dry_run import print_trials  # imports torch

        print_trials(spec, candidates, console)
        return 0
    set_ray_environment(arguments.address)
    from sweep.execute import Where, execute, write_data  # imports torch and Ray

    if arguments.write_data:
        for path in write_data(spec, cache_dir(), arguments.write_data, console):
            console.print(Text(str(path)), soft_wrap=True)
        return 0
    console.print(Text.assemble((spec.name, "bold"), f": {spec.about}"))
    where = Where(experiment_dir, cache_dir(), arguments.address, arguments.dashboard)
    command = shlex.join(["python", "-m", "sweep.run", *(sys.argv[1:])])
    outcome = execute(spec, candidates, where, command, console)

    from analysis.report import build, print_tables

    try:
        report = build(experiment_dir)
    except OSError as error:
        raise UserError(
            f"the trials' results are kept in {experiment_dir}, but the report can't be written ({error.strerror}); "
            f"build it with: python -m analysis.report {experiment_dir}"
        ) from None
    print_tables(report, console)
    console.print(
        f"{outcome.finished} finished, {outcome.failed} failed, {outcome.interrupted} interrupted", highlight=False
    )
    if outcome.interrupted:
        console.print(Text(f"continue with: python -m sweep.run --resume {experiment_dir}"), soft_wrap=True)
        return EXIT_INTERRUPTED
    if outcome.unjudged:
        one = "1 trial was" if outcome.unjudged == 1 else f"{outcome.unjudged} trials were"
        what = f"{one} trained but not judged; judge with: python -m sweep.reward_metric {experiment_dir}"
        console.print(Text(what), soft_wrap=True)
    return EXIT_FAILED if outcome.failed or outcome.unjudged else 0


def cache_dir() -> Path:
    """Where tokens and the demo's assets are kept: $SFT_SWEEP_CACHE, or a folder of ours in the user's cache."""
    chosen = os.environ.get("SFT_SWEEP_CACHE")
    return Path(chosen).expanduser().resolve() if chosen else Path.home() / ".cache" / "sft-sweep"


def _refuse(arguments: argparse.Namespace, flag: str, why: str, also: tuple[str, ...] = ()) -> None:
    """Refuse whatever would say beside `flag` what to run; `also` are further flags that don't go with it."""
    for name in ("SPEC", "--set", "--output", *also):
        given = getattr(arguments, name.strip("-").replace("-", "_").lower())
        if given:
            values = [] if given is True else given if isinstance(given, list) else [given]
            shown = " ".join([name, *map(str, values)])
            raise UserError(f"{shown} is not accepted with {flag}; {why}")


def _spec_and_directory(arguments: argparse.Namespace) -> tuple[SweepSpec, Path]:
    if arguments.resume:
        _refuse(arguments, "--resume", "a sweep continues as it was begun")
        if not (arguments.resume / SPEC_FILE).is_file():
            raise UserError(f"--resume {arguments.resume}: no {SPEC_FILE} in it; name an experiment directory")
        if (arguments.resume / REPLACEMENT_DIR).exists():
            raise UserError(
                f"--resume {arguments.resume}: its trials were being judged anew when the process ended; "
                f"finish that with: python -m sweep.reward_metric {arguments.resume}"
            )
        return parse_spec(read_yaml(arguments.resume / SPEC_FILE)), arguments.resume.resolve()
    if not arguments.spec:
        raise UserError(f"SPEC is missing; name a preset ({', '.join(preset_names())}) or a YAML file")
    spec = load_spec(arguments.spec, arguments.set)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    experiment_dir: Path = (arguments.output or Path("experiments") / f"{spec.name}-{stamp}").expanduser().resolve()
    if experiment_dir.is_file() or (experiment_dir.is_dir() and any(experiment_dir.iterdir())):
        raise UserError(f"--output {experiment_dir} is not empty; name a new directory, or continue it with --resume")
    return spec, experiment_dir


if __name__ == "__main__":
    sys.exit(main())
