"""The commands of this project: each a module that `python -m` runs and a subcommand of `sft-sweep`, alike."""

import shlex
import sys
from pathlib import Path
from typing import Literal, NamedTuple

Module = Literal[
    "sweep.run",
    "sweep.submit",
    "sweep.jobs",
    "sweep.watch",
    "sweep.control",
    "sweep.export",
    "sweep.chat",
    "sweep.track",
    "analysis.report",
    "sweep.reward_metric",
]

SCRIPT = "sft-sweep"
"""The command that pip installs."""


class Subcommand(NamedTuple):
    """A command of ours.

    Attributes:
        module: what `python -m` runs.
        home: the module whose function `script` is the command; it may need torch, which `sft-sweep --help` does not.
        about: what it does, in a line.
    """

    module: Module
    home: str
    about: str


SUBCOMMANDS = {
    "run": Subcommand("sweep.run", "sweep.run", "run a sweep and build its report"),
    "submit": Subcommand("sweep.submit", "sweep.submit", "have a Ray cluster run a sweep by itself"),
    "jobs": Subcommand("sweep.jobs", "sweep.jobs", "list, follow, stop, resume and fetch submitted sweeps"),
    "control": Subcommand("sweep.control", "sweep.control", "stop, add or clone trials of a running sweep"),
    "report": Subcommand("analysis.report", "analysis.report", "rebuild the report of an experiment directory"),
    "judge": Subcommand(
        "sweep.reward_metric", "sweep.driver.rejudge", "judge kept models later, or all of them by another judge"
    ),
    "export": Subcommand("sweep.export", "sweep.export", "write the winner as others load it"),
    "chat": Subcommand("sweep.chat", "sweep.chat", "talk to the winner, or to two arms side by side"),
    "track": Subcommand("sweep.track", "sweep.track", "send a sweep to trackers: TensorBoard, MLflow, W&B, Trackio"),
    "watch": Subcommand("sweep.watch", "sweep.watch", "watch a sweep, or a folder of them, in a browser"),
}
"""By the word behind `sft-sweep`."""


def as_called(module: Module, *words: str) -> str:
    """A command line of ours for the user to type: one that works where the one that runs was typed."""
    [name] = (name for name, subcommand in SUBCOMMANDS.items() if subcommand.module == module)
    return shlex.join([*([SCRIPT, name] if is_script() else ["python", "-m", module]), *words])


def typed(path: Path) -> str:
    """A path as a user types it where this process runs: relative, if it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def words_of(module: Module, command: str) -> list[str]:
    """The words behind the name of one of our commands, as `as_called` makes it on either way; none of another one."""
    [name] = (name for name, subcommand in SUBCOMMANDS.items() if subcommand.module == module)
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation that nothing closes
        return []
    beginnings = (["python", "-m", module], [SCRIPT, name])
    return next((words[len(begun) :] for begun in beginnings if words[: len(begun)] == begun), [])


def is_script() -> bool:
    """Whether this process is the command that pip has installed, and not `python -m`."""
    return Path(sys.argv[0]).name == SCRIPT
