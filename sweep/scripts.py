"""The commands of this project: what they are called, and whether Python finds this project's packages for them."""

import importlib.util
import shlex
import sys
from pathlib import Path
from typing import Literal

from sweep.errors import UserError

Module = Literal["sweep.run", "analysis.report", "sweep.reward_metric"]

SCRIPTS: dict[Module, str] = {
    "sweep.run": "sft-sweep",
    "analysis.report": "sft-sweep-report",
    "sweep.reward_metric": "sft-sweep-judge",
}
"""What pip installs for each module that is a command."""

PACKAGES = ("model", "sweep", "analysis")
ROOT = Path(__file__).resolve().parent.parent


def as_called(module: Module, *words: str) -> str:
    """A command line of ours for the user to type: one that works where the one that runs was typed."""
    name = [SCRIPTS[module]] if _is_script() else ["python", "-m", module]
    return shlex.join([*name, *words])


def check_packages() -> None:
    """Refuse to run where Python finds somebody else's package under a name of ours.

    Raises:
        UserError: naming the file, and what to do.
    """
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        files = [] if found is None else [found.origin, *(found.submodule_search_locations or [])]
        place = Path(next((file for file in files if file), "nowhere")).resolve()
        if place.is_relative_to(ROOT / name):
            continue
        what = f"{place}: Python finds this {name!r} before sft-sweep's own"
        if _is_script():
            raise UserError(f"{what}; take its folder out of PYTHONPATH")
        raise UserError(f"{what}, for python -m looks into the working directory first; run {SCRIPTS['sweep.run']}")


def exit_if_hidden() -> None:
    """End a process that begins with `check_packages`, where a module must not import any further before."""
    try:
        check_packages()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _is_script() -> bool:
    return Path(sys.argv[0]).name in SCRIPTS.values()
