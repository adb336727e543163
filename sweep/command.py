"""What every command of ours has in common: what it is given, what it prints on, and how it ends."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from basis.documents.documents import JSON_FLAG, ErrorDocument, print_document
from basis.errors import UserError, is_of_the_user_or_machine, name_failure
from basis.packages import check_packages
from basis.terminal import console_on, flush_streams, open_closed_streams
from sweep.machine.caches import set_up_caches
from sweep.machine.environment import (
    Interrupted,
    check_spelling,
    end_like_ctrl_c,
    handlers_restored,
    pass_proxies_by,
    variables_restored,
)

EXIT_FAILED, EXIT_BAD_SPEC = 1, 2


def exit_interrupted(interrupt: KeyboardInterrupt) -> int:
    """The exit code by which a shell is told of a signal: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return 128 + (interrupt.number if isinstance(interrupt, Interrupted) else signal.SIGINT)


def run_command(work: Callable[[Console], int], words: Sequence[str], interrupted: str = "interrupted") -> int:
    """Do a command's work and return its exit code; what a user or the machine is to blame for ends in one line.

    Args:
        work: told where to print: on standard error where standard output is for JSON documents.
        words: of the command line.
        interrupted: what is said after Ctrl-C.
    """
    open_closed_streams()
    as_json = JSON_FLAG in words
    said_on = sys.stderr if as_json else sys.stdout
    try:
        check_spelling(words)
        check_packages()
        with variables_restored(), handlers_restored():
            end_like_ctrl_c()
            os.environ["PYTHONSAFEPATH"] = "1"  # children take no modules from where the user happens to stand
            return work(console_on(said_on))
    except (UserError, OSError, UnicodeEncodeError) as error:
        if not is_of_the_user_or_machine(error):
            raise
        say_error(name_failure(error))
        if as_json:
            print_document(ErrorDocument(error=name_failure(error), exit_code=EXIT_BAD_SPEC), sys.stdout)
        return EXIT_BAD_SPEC
    except KeyboardInterrupt as interrupt:
        console_on(said_on).print(interrupted)
        if as_json:
            print_document(ErrorDocument(error=interrupted, exit_code=exit_interrupted(interrupt)), sys.stdout)
        return exit_interrupted(interrupt)
    finally:
        flush_streams()


def say_error(text: str) -> None:
    """Print what went wrong, as one line, or as one for each of several mistakes."""
    console = console_on(sys.stderr)
    for line in text.splitlines():
        console.print(f"error: {line}", style="red", markup=False, highlight=False, soft_wrap=True)


def remarks_on(console: Console) -> Callable[[str], None]:
    """What prints a line that is no result on a console, dim and as it stands."""

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)

    return say


def set_up(console: Console, remarks: Sequence[str] = ()) -> Path:
    """Prepare the process for libraries, tell what is out of the ordinary, and return our cache."""
    pass_proxies_by()
    cache_dir, of_caches = set_up_caches()
    say = remarks_on(console)
    for remark in (*remarks, *of_caches):
        say(remark)
    return cache_dir
