"""What goes to a cluster with a job: our code, what the job is told, and the variables that the user has named.

Ray writes a job's `env_vars` into its logs and shows them to whoever may list jobs. So variables travel in a file of
the package, which only its owner can read, and which the job takes away before it does anything else.
"""

import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from basis.errors import UserError, shortened
from basis.packages import PACKAGES, ROOT
from sweep.provenance.code_version import PROJECT, code_version
from sweep.submission.variables import QUESTION_FILE, VARIABLES_FILE

CLUSTERS_OWN = "RAY_"
"""Beginning of the names of variables that say where a Ray is and who may ask it: the cluster's own count there."""


def named_variables(names: Sequence[str]) -> dict[str, str]:
    """The variables that `--env` names, with their values here.

    Raises:
        UserError: a name that is none, that is not set, or that the cluster sets.
    """
    for name in names:
        if "=" in name or not name.isidentifier():
            shown = shortened(name.partition("=")[0], 60)
            raise UserError(f"--env {shown}: is not accepted; accepted: a variable's name, whose value here is sent")
        if name.startswith(CLUSTERS_OWN):
            raise UserError(f"--env {name}: is not sent, since the cluster has its own; accepted: others, as HF_TOKEN")
        if name not in os.environ:
            raise UserError(f"--env {name}: is not set here; accepted: a variable that is")
    return {name: os.environ[name] for name in names}


def pack(folder: Path, variables: Mapping[str, str], question: Mapping[str, Any] | None = None) -> None:
    """Fill a folder with what a job needs: our packages, its variables, and what it is asked."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    version = code_version().version  # there is neither a repository nor an installed package to tell it
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{PROJECT}"\nversion = "{version}"\n', encoding="utf-8")
    if question is not None:
        (folder / QUESTION_FILE).write_text(json.dumps(question), encoding="utf-8")
    # Each package is another one: Ray would take the folder of an equal one, whose variables are gone.
    content = json.dumps({"package": secrets.token_hex(8), "variables": dict(variables)})
    with open(os.open(folder / VARIABLES_FILE, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
