"""The packages of this project: which they are, where they lie, and whether Python finds them and no other's."""

import importlib.util
import sys
from pathlib import Path

from basis.errors import UserError

PACKAGES = ("basis", "model", "sweep", "analysis")
ROOT = Path(__file__).resolve().parent.parent


def check_packages() -> None:
    """Refuse to run where Python finds somebody else's package under a name of ours: trials would, too.

    Commands take the working directory off Python's path. What is left is mostly a folder in PYTHONPATH.

    Raises:
        UserError: naming the file, and what to do.
    """
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        files = [] if found is None else [found.origin, *(found.submodule_search_locations or [])]
        place = Path(next((file for file in files if file), "nowhere")).resolve()
        if not place.is_relative_to(ROOT / name):
            raise UserError(
                f"{place}: Python finds this {name!r} before sft-sweep's own; take its folder out of PYTHONPATH"
            )


def exit_if_hidden() -> None:
    """End a process that begins with `check_packages`, where a module must not import any further before."""
    try:
        check_packages()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
