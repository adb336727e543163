"""The commands of this project, and what they are called where they were typed."""

import shlex
import sys
from pathlib import Path
from typing import Literal

Module = Literal["sweep.run", "analysis.report", "sweep.reward_metric"]

SCRIPTS: dict[Module, str] = {
    "sweep.run": "sft-sweep",
    "analysis.report": "sft-sweep-report",
    "sweep.reward_metric": "sft-sweep-judge",
}
"""What pip installs for each module that is a command."""


def as_called(module: Module, *words: str) -> str:
    """A command line of ours for the user to type: one that works where the one that runs was typed."""
    name = [SCRIPTS[module]] if is_script() else ["python", "-m", module]
    return shlex.join([*name, *words])


def is_script() -> bool:
    """Whether this process is a command that pip has installed, and not `python -m`."""
    return Path(sys.argv[0]).name in SCRIPTS.values()
