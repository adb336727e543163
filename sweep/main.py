"""The command `sft-sweep`, which pip installs: its first word says which of our commands runs."""

import difflib
import importlib
import shlex
import sys
from collections.abc import Sequence

from basis.errors import shortened
from basis.packages import exit_if_hidden
from basis.scripts import SCRIPT, SUBCOMMANDS


def script() -> None:
    """Run the subcommand that the command line names, with the process to itself.

    It finds its own words in `sys.argv`, as under `python -m`. Its module is imported only now, since some need torch.
    """
    words = sys.argv[1:]
    if words[:1] in (["--help"], ["-h"]):
        print(help_text())
        return
    if not words or words[0] not in SUBCOMMANDS:
        print(f"error: {refusal(words)}", file=sys.stderr)
        sys.exit(2)
    exit_if_hidden()
    sys.argv[1:] = words[1:]
    importlib.import_module(SUBCOMMANDS[words[0]].home).script()


def help_text() -> str:
    """What `sft-sweep --help` prints: a line for each subcommand."""
    lines = [f"  {name:8} {subcommand.about}" for name, subcommand in SUBCOMMANDS.items()]
    return "\n".join(
        [f"usage: {SCRIPT} SUBCOMMAND ...", "", *lines, "", f"{SCRIPT} SUBCOMMAND --help tells what each accepts."]
    )


def refusal(words: Sequence[str]) -> str:
    """What a command line without a subcommand is answered with: what was meant, most likely."""
    accepted = f"accepted: {', '.join(SUBCOMMANDS)}"
    if not words:
        return f"a subcommand is missing; {accepted}; --help tells what they do"
    near = difflib.get_close_matches(words[0], SUBCOMMANDS, 1)
    meant = [SCRIPT, *near, *words[1:]] if near else [SCRIPT, "run", *words]
    first = repr(shortened(words[0], 60))
    return f"{first} is no subcommand (did you mean: {shortened(shlex.join(meant), 150)}?); {accepted}"
