"""outcome.json of a trial's directory: how the trial ended last, as its own process or the driver has kept it.

outcome    "finished", "diverged", "failed" or "out of memory", see `basis.outcomes.Outcome`
reason     why, in one line; "" for a trial that finished and was judged
at         when, in seconds since 1970

A trial that runs has none; the driver takes it away from one that it will try once more.
"""

import json
import time
from contextlib import suppress
from pathlib import Path

from basis.directory import OUTCOME_FILE
from basis.files import whole_file
from basis.outcomes import Ending, Outcome
from basis.read_json import DamagedError, read_object


def outcome_text(ending: Ending) -> str:
    """The text of an outcome.json."""
    return json.dumps({"outcome": ending.outcome.value, "reason": ending.reason, "at": ending.at or time.time()})


def keep_outcome(folder: Path, ending: Ending) -> None:
    """Keep how the trial of a directory ended. A disk that has no room for it is no reason to fail."""
    with suppress(OSError), whole_file(folder / OUTCOME_FILE, shared=True) as partial:  # the driver has no lock on it
        partial.write_text(outcome_text(ending), encoding="utf-8")


def forget_outcome(folder: Path) -> None:
    """Take away how the trial of a directory ended last, for it runs once more."""
    with suppress(OSError):
        (folder / OUTCOME_FILE).unlink(missing_ok=True)


def read_outcome(folder: Path) -> Ending | None:
    """How the trial of a directory ended last; None where nothing is kept, or what is kept is damaged."""
    try:
        kept = read_object(folder / OUTCOME_FILE)
        return Ending(Outcome(kept["outcome"]), str(kept["reason"]), float(kept["at"]))
    except (DamagedError, OSError, LookupError, ValueError, TypeError):
        return None
