"""What is posted to `notify`: a body of JSON, whose version is raised whenever a field changes its meaning.

version      1
event        "sweep_ended", "sweep_failed" or "trials_diverged"
text         one or more lines for people, which Slack and Mattermost show
content      the same, which Discord shows
sweep        the sweep's name
experiment   the name of its directory
time         in seconds since 1970
exit_code    of the command, of an ended or a failed sweep; null where it was killed
finished, failed, interrupted    how many trials, of an ended sweep
trials       those that have diverged: a list of {"trial", "arm", "seed", "step", "reason"}
"""

import time
from collections.abc import Sequence
from typing import Any

from sweep.cluster.privacy import for_others
from sweep.progress.events import OverEvent
from sweep.tracking.tracker import Place
from sweep.tracking.trials import TrackedTrial

VERSION = 1
MOST_NAMED, MOST_LETTERS = 10, 1900
"""Of the trials that `text` names, and of its letters: Discord takes 2,000."""


def body(place: Place, event: str, text: str, **more: Any) -> dict[str, Any]:
    """A body. Nothing in it tells a secret or the user's home."""
    text = for_others(text)
    text = text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 3]}..."
    told = {"version": VERSION, "event": event, "text": text, "content": text}
    return {**told, "sweep": place.sweep, "experiment": place.experiment_dir.name, "time": time.time(), **more}


def of_end(place: Place, over: OverEvent | None, exit_code: int | None) -> dict[str, Any]:
    """The body for a sweep's end.

    Args:
        place: the sweep.
        over: its last event; None: it has not come to its end.
        exit_code: of its command; None: it was killed.
    """
    name = f"Sweep {place.sweep} ({place.experiment_dir.name})"
    if over is None:
        how = {None: "its process was killed", 129: "interrupted", 130: "interrupted", 143: "interrupted"}
        why = how.get(exit_code, f"exit code {exit_code}")
        return body(place, "sweep_failed", f"{name} has failed: {why}", exit_code=exit_code)
    counts = {"finished": over.finished, "failed": over.failed, "interrupted": over.interrupted}
    words = ", ".join(f"{number} {what}" for what, number in counts.items())
    killed = "" if exit_code is not None else "; its process was killed afterwards"
    return body(place, "sweep_ended", f"{name} has ended: {words}{killed}", exit_code=exit_code, **counts)


def of_diverged(place: Place, trials: Sequence[TrackedTrial]) -> dict[str, Any]:
    """The body for trials that have diverged since the last one."""
    told = [
        {
            "trial": trial.name,
            "arm": trial.label,
            "seed": trial.seed,
            "step": max(trial.last_step, 0),
            "reason": for_others(trial.ended.reason) if trial.ended else "",
        }
        for trial in trials
    ]
    lines = [f"{one['arm']}, seed {one['seed']} ({one['trial']}), after step {one['step']}" for one in told]
    more = [f"and {len(lines) - MOST_NAMED} more"] if len(lines) > MOST_NAMED else []
    head = f"Sweep {place.sweep} ({place.experiment_dir.name}): the loss is no finite number any more in"
    return body(place, "trials_diverged", "\n".join([head, *lines[:MOST_NAMED], *more]), trials=told)
