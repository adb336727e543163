"""Runs a sweep to its end and says how it ended: the report, how many trials finished or failed, how to go on."""

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from basis.directory import FINISHED_FILE, RAY_LOG_FILE, SPEC_FILE
from basis.errors import RayDiedError, UserError, is_of_the_user_or_machine, name_failure
from basis.scripts import as_called
from basis.stored.address import parse_address
from sweep.command import EXIT_FAILED, exit_interrupted, say_error
from sweep.machine.apart import Ended, Work, run_apart
from sweep.machine.environment import Interrupted, ignore_endings
from sweep.tune.counts import SweepCounts

if TYPE_CHECKING:
    from analysis.screen.screen import Screen

MOST_RESTARTS = 2
"""How often a Ray of our own that has died is started again by itself."""

RAY_DIED, COUNTS, REFUSED = "ray_died", "counts", "refused"
INTERRUPTED = 128 + signal.SIGINT


@dataclass(frozen=True)
class SweepFolder:
    """The folder of a sweep, with the commands that begin and continue it.

    Attributes:
        experiment_dir: where the sweep keeps its files.
        begin: the command line that begins it.
        resume: the command line that continues it.
        console: where all is said.
        verbose: whether all tables and findings of the report are printed.
        on_report: given what the report says, once it is there.
        place: the address where the results are kept; None: in `experiment_dir`.
    """

    experiment_dir: Path
    begin: str
    resume: str
    console: Console
    verbose: bool = False
    on_report: "Callable[[Screen], None] | None" = None
    place: str | None = None

    @property
    def named(self) -> str:
        """How the user names where the results are kept."""
        return self.place or str(self.experiment_dir)

    @property
    def has_begun(self) -> bool:
        """Whether there is something to be continued."""
        return os.path.isfile(self.experiment_dir / SPEC_FILE)

    @property
    def finished(self) -> int:
        """How many trials have finished."""
        return len(list(self.experiment_dir.glob(f"*/{FINISHED_FILE}")))

    def say(self, text: str, style: str = "") -> None:
        """Print a line."""
        self.console.print(Text(text), style=style, soft_wrap=True)

    def say_how_to_go_on(self) -> None:
        """Print the command that continues the sweep, or the one that begins it where nothing has begun."""
        self.say(f"continue with: {self.resume}" if self.has_begun else f"start again with: {self.begin}")


def sweep_and_report(
    run_trials: Callable[[Work | None], SweepCounts], folder: SweepFolder, apart: bool, restarts: int
) -> int:
    """Run a sweep, build its report, and say how it ended.

    Args:
        run_trials: runs the trials that are not finished yet.
        folder: the sweep's.
        apart: run it in a process of its own, as the command does. In this one, which may be a notebook's, nothing
            can be said of a death of Ray that takes the process with it.
        restarts: how often it is started again by itself after such a death.

    Returns:
        The exit code.

    Raises:
        UserError: what the user or the machine is to blame for.
    """
    try:
        return _end(_run_apart(run_trials, folder, restarts) if apart else _run_here(run_trials), folder)
    except KeyboardInterrupt as interrupt:  # a second time, for one that comes first is an end as others are
        ignore_endings()
        folder.console.show_cursor()
        folder.say("interrupted")
        folder.say_how_to_go_on()
        return exit_interrupted(interrupt)


def _run_here(run_trials: Callable[[Work | None], SweepCounts]) -> Ended:
    try:
        return Ended(0, {COUNTS: asdict(run_trials(None))}, None, "")
    except RayDiedError as death:
        return Ended(0, {RAY_DIED: str(death)}, None, "")


def _run_apart(run_trials: Callable[[Work | None], SweepCounts], folder: SweepFolder, restarts: int) -> Ended:
    """Run the sweep in a process of its own, and after a death of Ray in another one, which keeps what is finished."""

    def tell_ending(work: Work) -> dict[str, object]:
        try:
            return {COUNTS: asdict(run_trials(work))}
        except RayDiedError as death:
            return {RAY_DIED: str(death)}
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None  # the process that waits has the last word
        except (UserError, OSError, UnicodeEncodeError) as error:
            if not is_of_the_user_or_machine(error):
                raise
            return {REFUSED: name_failure(error)}

    for restart in range(1, restarts + 2):
        ended = run_apart(tell_ending)
        folder.console.show_cursor()
        _keep_words(ended.words, folder)
        death = _death(ended)
        if death is None or restart > restarts:
            break
        folder.say(f"Ray has died ({death}) and is started again, {restart} of {restarts} times; finished trials stand")
    return ended


def _death(ended: Ended) -> str | None:
    """How the process died of Ray, if it did: nobody asked it to end, and it had no error of its own."""
    if ended.asked_by is not None:
        return None
    return ended.told.get(RAY_DIED) or (None if ended.told else ended.cause)


def _keep_words(words: str, folder: SweepFolder) -> None:
    """Keep what libraries printed; a disk that has no room for it is no reason to say no more."""
    if not words or not folder.experiment_dir.is_dir():
        return
    try:
        with (folder.experiment_dir / RAY_LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(words)
    except OSError as error:
        folder.say(f"what Ray said is not kept ({name_failure(error)})")


def _end(ended: Ended, folder: SweepFolder) -> int:
    if ended.asked_by is not None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes has its say more than once
    death, counts, refused = _death(ended), ended.told.get(COUNTS), ended.told.get(REFUSED)
    if refused is not None and ended.asked_by is None:
        raise UserError(refused)
    if refused is not None:
        say_error(refused)
    if death is None and counts is None and ended.asked_by is None and ended.code != INTERRUPTED:
        folder.say_how_to_go_on()  # a fault of the program, which has left its traceback
        return ended.code
    if counts is not None:
        return _end_of_trials(SweepCounts(**counts), ended.asked_by, folder)
    if folder.has_begun:
        has_trials = any(folder.experiment_dir.glob("experiment_state-*.json"))
        failure = _report(folder) if has_trials else None
        folder.say(f"{folder.finished} finished, the others were cut short")
        if failure is not None:
            _say_no_report(failure, folder)
    if death is None:
        if not folder.has_begun:
            folder.say("interrupted")
        folder.say_how_to_go_on()
        return exit_interrupted(Interrupted(ended.asked_by or signal.SIGINT))
    log = folder.experiment_dir / RAY_LOG_FILE
    say_error(f"Ray has died: {death}{f'; what it said: {log}' if log.is_file() else ''}")
    folder.say_how_to_go_on()
    return EXIT_FAILED


def _end_of_trials(counts: SweepCounts, asked_by: int | None, folder: SweepFolder) -> int:
    """The end that Ray Tune has come to by itself."""
    failure = _report(folder)
    stopped = f", {counts.stopped} stopped by request" if counts.stopped else ""
    folder.say(f"{counts.finished} finished, {counts.failed} failed, {counts.interrupted} interrupted{stopped}")
    if failure is not None:
        _say_no_report(failure, folder)
    if counts.disk is not None:
        say_error(counts.disk)
    if counts.interrupted or counts.disk is not None:
        folder.say_how_to_go_on()
    if counts.disk is not None:
        return EXIT_FAILED
    if counts.interrupted or isinstance(failure, KeyboardInterrupt):
        return exit_interrupted(failure if isinstance(failure, KeyboardInterrupt) else Interrupted(asked_by or 2))
    if counts.unjudged:
        trials = "1 trial was" if counts.unjudged == 1 else f"{counts.unjudged} trials were"
        judge = as_called("sweep.reward_metric", folder.named)
        folder.say(f"{trials} trained but not judged; judge with: {judge}")
    return EXIT_FAILED if counts.failed or counts.unjudged or failure is not None else 0


def _report(folder: SweepFolder) -> BaseException | None:
    """Build the report and print what it shows; what kept that from succeeding, for the trials have ended already."""
    try:
        from analysis.screen.kept import current_screen
        from analysis.screen.screen import print_summary

        logging.getLogger("ray").setLevel(logging.CRITICAL)  # what is missing of a trial, the report tells
        address = str(parse_address("--output", folder.place)) if folder.place else None
        screen = None if folder.verbose else current_screen(folder.experiment_dir)
        if screen is None:
            from analysis.report import build, print_tables  # some seconds, for what a report takes

            report = build(folder.experiment_dir)
            (print_tables if folder.verbose else print_summary)(report, folder.console, address)
        else:
            folder.say("nothing has changed since the report was built", style="dim")
            print_summary(screen, folder.console, address)
        if folder.on_report is not None:
            folder.on_report(screen or report)
    except (Exception, KeyboardInterrupt) as failure:
        return failure
    return None


def _say_no_report(failure: BaseException, folder: SweepFolder) -> None:
    rebuild = as_called("analysis.report", folder.named)
    say_error(
        f"the report could not be built ({name_failure(failure)}); the trials' results are kept; "
        f"build it with: {rebuild}"
    )
