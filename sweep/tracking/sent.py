"""What a tracker has been sent: DIR/tracking/TRACKER.json. A sweep that goes on sends the rest into the same runs."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from basis.files import whole_file
from basis.read_json import DamagedError, read_object


@dataclass
class SentTrial:
    """What a tracker has of a trial.

    Attributes:
        run: the tracker's own name of the run.
        step: the last step that it has.
        final: the last value of each metric that it has.
        ended: how the trial ended, as the tracker was told; "": it runs, "interrupted": the sweep ended before.
        place: the name of the folder of an offline run; "" for others.
    """

    run: str
    step: int = -1
    final: dict[str, float] = field(default_factory=dict)
    ended: str = ""
    place: str = ""


def read_sent(path: Path) -> dict[str, SentTrial]:
    """By trial; nothing where the file is missing or damaged: trackers then look for their runs by name."""
    try:
        return {trial: SentTrial(**values) for trial, values in read_object(path).items()}
    except (DamagedError, OSError, TypeError):
        return {}


def keep_sent(path: Path, sent: dict[str, SentTrial]) -> None:
    """Write the file.

    Raises:
        OSError: such as a full disk.
    """
    path.parent.mkdir(exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(json.dumps({trial: asdict(values) for trial, values in sent.items()}), encoding="utf-8")
