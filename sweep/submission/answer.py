"""Runs on the cluster's head: answers what a submission asks before it sends a sweep. Leaves nothing behind.

Before it imports anything of ours it tells the versions there, since our code may need others.
"""

import json
import os
import platform
from pathlib import Path
from typing import Any

from basis.versions import NOT_INSTALLED, installed_versions, releases
from sweep.submission.variables import QUESTION_FILE, take_variables

VERSIONED = ("ray", "torch")
"""Libraries whose release must be the same there as here."""


def versions() -> dict[str, str]:
    """The versions of Python and of VERSIONED, without what a build adds to them, such as +cu130."""
    return {"python": ".".join(platform.python_version_tuple()[:2]), **releases(VERSIONED)}


def lacking(libraries: list[str]) -> list[str]:
    """Those of some libraries that are not installed."""
    return [library for library, found in installed_versions(libraries).items() if found == NOT_INSTALLED]


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """What is told: versions, and with the same ones what keeps the sweep from running, in a line; and sizes of files.

    Args:
        question: see `sweep.submission.checks`.
    """
    told: dict[str, Any] = {"versions": versions(), "lacking": lacking(question["libraries"])}
    if told["versions"] != question["versions"] or told["lacking"]:
        return told
    from basis.errors import UserError  # of ours, and of libraries that are there
    from sweep.submission.output import has_begun

    try:
        told["sizes"] = _check(question)
        told["begun"] = has_begun(question["output"])
    except UserError as error:
        told["refused"] = str(error)
    return told


def _check(question: dict[str, Any]) -> dict[str, int]:
    """Check output, files and names on the hub; returns the sizes of files in bytes."""
    from sweep.submission.begin import set_cache
    from sweep.submission.output import check_output

    check_output(question["output"])
    _check_elsewhere(question["elsewhere"])
    set_cache(question["output"])
    if question["hub"]:
        from sweep.machine.caches import set_up_caches

        set_up_caches()
        from sweep.hub.fetch import resolve
        from sweep.schema.hub_names import HubName

        for name, kind, key in question["hub"]:
            resolve(HubName(*name), kind, key)
    from sweep.submission.inputs import size_of

    return {path: size_of(Path(path)) for path in question["sized"] if os.path.exists(path)}


def _check_elsewhere(kinds: dict[str, str]) -> None:
    """Refuse a path of the spec at which nothing of its kind can be read here."""
    from basis.errors import UserError
    from sweep.schema.data_folders import ROLES
    from sweep.schema.sources import source_files

    neither = "lies neither on this machine nor on the cluster, or is of another kind; accepted: what one of them reads"
    for path, kind in kinds.items():
        role = ROLES.get(kind)
        if role is None and not (os.path.isdir(path) if kind == "model" else os.path.isfile(path)):
            raise UserError(f"{path}: {neither}")
        try:
            files = [Path(path)] if role is None else source_files(path, role) or []
        except UserError:
            raise UserError(f"{path}: {neither}") from None
        for file in files:
            if not os.access(file, os.R_OK):
                raise UserError(f"{file}: can't be read on the cluster")


if __name__ == "__main__":
    take_variables(Path.cwd())
    asked = json.loads(Path(QUESTION_FILE).read_text(encoding="utf-8"))
    print("ANSWER " + json.dumps(answer(asked)), flush=True)
