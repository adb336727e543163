"""The first screen of a report, kept beside its page together with what it was made of.

So a sweep that goes on and finds nothing to run says again what its report says. To build that of 10,000 trials anew
takes a minute.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from analysis.findings.finding import Finding
from analysis.results.made_of import made_of
from analysis.screen.screen import Screen
from analysis.verdict.summary import Summary
from basis.directory import REPORT_DIR

SCREEN_FILE = "screen.json"


@dataclass(frozen=True)
class _Kept:
    made_of: str
    files: list[str]
    summary: Summary
    notes: list[str]
    findings: list[Finding]


_KEPT = TypeAdapter(_Kept)


def kept_screen(screen: Screen, made: str, files: Sequence[str]) -> bytes:
    """The content of SCREEN_FILE.

    Args:
        screen: of the report.
        made: see `Results.made_of`.
        files: all files of the report, by their path within its folder.
    """
    kept = _Kept(made, list(files), screen.summary, screen.notes, screen.findings)
    return json.dumps(_KEPT.dump_python(kept)).encode()  # pydantic's own JSON has no NaN


def current_screen(experiment_dir: Path) -> Screen | None:
    """The first screen of an experiment's report; None: it has none, or not all of it, or something has changed since.

    Raises:
        OSError: the experiment is no folder that can be read.
    """
    folder = experiment_dir / REPORT_DIR
    try:
        kept = _KEPT.validate_json((folder / SCREEN_FILE).read_bytes())
    except (OSError, ValidationError):  # a build writes a new one, or says what is wrong with the folder
        return None
    if kept.made_of != made_of(experiment_dir) or not all((folder / name).is_file() for name in kept.files):
        return None
    return Screen(folder, kept.summary, kept.notes, kept.findings)
