"""Judges the models that a sweep has kept: those that could not be judged, or all of them by another judge.

    python -m sweep.reward_metric EXPERIMENT_DIR --judge MODEL
    python -m sweep.reward_metric EXPERIMENT_DIR --match number --reference COLUMN --prompts FILE

One sweep has one judge. What another one says replaces everything that the first said, all at once and only when it is
whole: responses, rewards in finished.json (which --resume replays) and result.json (which the report reads), records,
and the spec, so that trials that --resume adds are judged by it too. What the sweep's own judge says of a trial that it
had not judged takes its place at once, whatever becomes of the others.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.text import Text

from basis.directory import SPEC_FILE
from basis.errors import UserError
from basis.scripts import as_called
from basis.stored.address import is_address
from sweep.command import EXIT_FAILED, remarks_on, run_command, set_up
from sweep.driver.rejudging import Rejudging
from sweep.driver.tracking import installed, send
from sweep.hub.pin import pin
from sweep.machine.environment import speak_utf8
from sweep.machine.quiet import quiet_libraries
from sweep.machine.stored_folders import experiment_folder
from sweep.preparation.models import find_models
from sweep.preparation.sources import resolve_sources
from sweep.schema.places import model_place
from sweep.schema.reward import Match
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import candidate_trials
from sweep.spec_file.load import parse_kept_spec
from sweep.spec_file.read_yaml import read_yaml
from sweep.storage.claim import claimed
from sweep.storage.kept_trials import check_unchanged, find_experiment, finished_trials
from sweep.storage.replacement import settle
from sweep.trial.config import TrialConfig


def judge_kept(
    directory: Path, changes: Mapping[str, Any], cache_dir: Path, console: Console, place: str | None = None
) -> int:
    """Judge kept models, and say how.

    Args:
        directory: an experiment directory, or the directory of one of its trials.
        changes: what of the spec's `reward` is another than the sweep's: its model, judge or prompts.
        cache_dir: as for a sweep.
        console: told what happens.
        place: the address where the experiment is kept; None: in its directory.

    Returns:
        How many trials could not be judged.

    Raises:
        UserError: nothing is there to be judged, or not as it was trained; or the judge can't judge.
    """

    say = remarks_on(console)
    experiment_dir, only = find_experiment(directory)
    named = place or str(experiment_dir)
    with claimed(experiment_dir, "DIR"), _named_as_given(changes):
        settle(experiment_dir)
        quiet_libraries()
        spec = pin(_changed_spec(experiment_dir, changes), say)
        trials, damaged = finished_trials(experiment_dir)
        mend = as_called("sweep.run", "--resume", named)
        for line in damaged:
            say(f"{line}; {mend} mends it")
        if not any(trial.has_weights for trial in trials):
            why = f" ({damaged[0]})" if damaged else ""
            raise UserError(
                f"{experiment_dir}: no finished trial in it has kept what it trained; nothing to judge{why}"
            )
        sources = resolve_sources(spec, cache_dir, say)
        kept = [trial.config for trial in trials]
        models = find_models(sources, [*kept, *_of_other_models(spec, kept)], cache_dir, say)
        hashes = {label: found.hashes({}) for label, found in models.items()}
        for label in models:
            check_unchanged([trial for trial in trials if trial.config.model == label], hashes[label])
        rejudging = Rejudging(experiment_dir, spec, models, hashes, say)
        if rejudging.asked_anew:
            if only is not None:
                raise UserError(
                    f"{directory}: other trials have another judge or other prompts, and one sweep has one of each; "
                    f"name {experiment_dir} to have all its trials judged anew"
                )
            if damaged:
                raise UserError(
                    f"{damaged[0]}, so it can't be judged anew, and one sweep has one judge; mend it first with: {mend}"
                )
            failed = rejudging.judge_together(trials)
        else:
            todo = [trial for trial in trials if not trial.is_judged and only in (None, trial.folder.name)]
            if not todo:
                say(f"nothing to judge: {spec.reward.judged_by} has judged every finished trial asked for")
                return len(damaged)
            failed = rejudging.judge_one_by_one(todo) + len(damaged)
    track = as_called("sweep.track", named)
    send(spec.name, installed(spec.track, say, track), experiment_dir, track, console)
    console.print(Text(f"build the report anew with: {as_called('analysis.report', named)}"), soft_wrap=True)
    return failed


def _of_other_models(spec: SweepSpec, kept: Sequence[TrialConfig]) -> list[TrialConfig]:
    """A trial of each base model of which none has finished: its answers must be those to the same questions, too."""
    known = {config.model for config in kept}
    return list({trial.model: trial for trial in candidate_trials(spec) if trial.model not in known}.values())


@contextmanager
def _named_as_given(changes: Mapping[str, Any]) -> Iterator[None]:
    """Have errors about the judge and the prompts name the flags that gave them."""
    given = {"model": "--judge", "judge": "--match", "prompts": "--prompts"}
    flags = {f"reward.{key}": flag for key, flag in given.items() if changes.get(key) is not None}
    try:
        yield
    except UserError as error:
        for key, flag in flags.items():
            if str(error).startswith(key):
                raise UserError(flag + str(error).removeprefix(key)) from error.__cause__
        raise


def _changed_spec(experiment_dir: Path, changes: Mapping[str, Any]) -> SweepSpec:
    """The experiment's spec with another judge or other prompts."""
    if changes.get("model") is not None:
        try:
            model_place(
                changes["model"], (), ambiguous=True
            )  # a kept spec's names have been understood, this one has not
        except UserError as error:
            raise UserError(f"reward.model: {error}") from None
    values = read_yaml(experiment_dir / SPEC_FILE)
    kept = values.get("reward")
    reward = {**(kept if isinstance(kept, dict) else {}), **changes}
    spec = parse_kept_spec({**values, "reward": reward})
    if spec.reward.judged_by is None:
        raise UserError(f"{experiment_dir}: the sweep has no judge; name one with --judge, or right answers by --match")
    return spec


def _changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a command line changes of a spec's `reward`."""
    if arguments.reference is not None and arguments.match is None:
        raise UserError(
            f"--reference {arguments.reference}: accepted beside --match, which says how answers are held to it"
        )
    changes: dict[str, Any] = {}
    if arguments.judge is not None:
        changes = {"model": arguments.judge, "judge": None}
    if arguments.match is not None:
        changes = {"model": None, "judge": {"match": arguments.match, "reference": arguments.reference}}
    return changes if arguments.prompts is None else {**changes, "prompts": arguments.prompts}


def main(argv: list[str] | None = None) -> int:
    """Command line: judge the kept models of an experiment; returns the exit code, as `--help` lists them."""
    parser = argparse.ArgumentParser(
        prog=as_called("sweep.reward_metric"),
        description="Judge the models that a sweep has kept: those that could not be judged, or with --judge, --match "
        "or --prompts all of them anew.",
        epilog="Exit code: 0 all were judged, 1 some could not be, 2 nothing to judge or a judge that can't, 130 "
        "interrupted; what another judge says replaces everything at once, when all is judged.",
    )
    parser.add_argument(
        "directory", metavar="DIR", help="an experiment directory or its address, or the directory of one trial"
    )
    judges = parser.add_mutually_exclusive_group()
    judges.add_argument("--judge", metavar="MODEL", help="another reward model: a folder, or a name on the hub")
    judges.add_argument("--match", choices=get_args(Match), help="judge by right answers; see reward.judge of a spec")
    parser.add_argument("--reference", metavar="COLUMN", help="under --match: the column of the right answers")
    parser.add_argument("--prompts", metavar="FILE", help="other prompts: a file as reward.prompts of a spec takes it")
    words = sys.argv[1:] if argv is None else argv

    def judge(console: Console) -> int:
        arguments = parser.parse_args(words)
        with experiment_folder("DIR", arguments.directory, weights=True, sends=True) as directory:
            place = arguments.directory if is_address(arguments.directory) else None
            failed = judge_kept(directory, _changes(arguments), set_up(console), console, place)
        return EXIT_FAILED if failed else 0

    return run_command(
        judge, words, "interrupted; of another judge nothing is kept, of the sweep's own what it has judged"
    )


def script() -> None:
    """The command, with the process to itself."""
    speak_utf8()
    sys.exit(main())
