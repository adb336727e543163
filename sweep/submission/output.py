"""Where a submitted sweep keeps its results: the one place that knows which kinds of storage there are."""

import os
import re
from pathlib import Path

from basis.directory import INPUTS_DIR
from basis.errors import UserError
from sweep.driver.opening import check_free
from sweep.machine.output_folders import check_length, check_writable, local_path

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
ACCEPTED = "accepted: the absolute path of a folder that all nodes of the cluster share"


def cluster_folder(output: str) -> Path:
    """The folder on the cluster that `--output` names; nobody asks the cluster yet.

    Raises:
        UserError: it names none.
    """
    if scheme := _SCHEME.match(output):
        raise UserError(f"--output {output}: {scheme[1]}:// is no storage that is known; {ACCEPTED}")
    if not output.startswith("/") or "\0" in output:
        raise UserError(f"--output {output!r}: is no absolute path; {ACCEPTED}")
    return Path(os.path.normpath(output))


def check_output(output: str) -> None:
    """Check, on the cluster, that a sweep can begin or go on in `--output`.

    Raises:
        UserError: it can't be written, or holds something else.
    """
    folder = local_path("--output", output)
    check_length("--output", folder)
    check_writable("--output", folder)
    check_free(folder, or_resume=True)


def inputs_folder(output: Path) -> Path:
    """Where what was sent along with a sweep lies: in its experiment directory, so that a resume finds it there."""
    return output / INPUTS_DIR
