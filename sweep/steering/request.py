"""What somebody asks of a running sweep, and the file in which it waits for the sweep: EXPERIMENT/control/ID.json.

The file holds the attributes of `Request`, and `words`: the request as one types it. It stays until the request is
decided and the decision is on disk (see `sweep.steering.desk`).
"""

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from basis.control_record import ACTIONS, NO_TIME, ORIGINS, Action, Origin
from basis.directory import CONTROL_DIR
from basis.errors import UserError
from basis.files import write_text
from basis.read_json import DamagedError, read_object

LARGEST_REQUEST_BYTES = 2**20
"""Of a request's file; a config takes a thousandth of it."""


@dataclass(frozen=True)
class Request:
    """What is asked of a running sweep.

    Attributes:
        action: stop or start a trial, stop the sweep, add a trial, run arms with further seeds, or clone a trial.
        origin: where it comes from.
        trial: the trial that is stopped, started or cloned, or an arm that gets further seeds. None: the whole sweep.
        values: the fields of an added trial, or those in which a clone differs.
        seeds: how many further seeds.
        time: when it is asked, in seconds since 1970.
    """

    action: Action
    origin: Origin
    trial: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    seeds: int = 0
    time: float = field(default_factory=time.time)

    @property
    def words(self) -> str:
        """The request as one types it behind the directory."""
        trial = [] if self.trial is None else [self.trial]
        match self.action:
            case "add":
                return shlex.join(["add", json.dumps(dict(self.values))])
            case "clone":
                changes = [f"{name}={_as_typed(value)}" for name, value in self.values.items()]
                return shlex.join(["clone", *trial, *changes])
            case "seeds":
                return shlex.join(["seeds", f"+{self.seeds}", *trial])
        return shlex.join([self.action, *trial])


def write_request(experiment_dir: Path, request: Request) -> str:
    """Leave a request for the running sweep.

    Returns:
        Its id, by which its decision is known; ids sort by time.

    Raises:
        DiskError: the directory can't be written.
    """
    folder = experiment_dir / CONTROL_DIR
    folder.mkdir(exist_ok=True)
    request_id = new_id(request)
    write_text(folder / f"{request_id}.json", request_text(request))
    return request_id


def new_id(request: Request) -> str:
    """An id for a request."""
    return f"{int(request.time * 1000):013}-{uuid4().hex[:8]}"


def request_text(request: Request) -> str:
    """The content of a request's file."""
    return json.dumps({**asdict(request), "words": request.words}, indent=2)


def waiting_requests(experiment_dir: Path) -> list[Path]:
    """The files of the requests that wait, the oldest first. A request's id is the stem of its file."""
    return sorted((experiment_dir / CONTROL_DIR).glob("*.json"))


def read_request(path: Path) -> Request:
    """Read the file of a request.

    Raises:
        UserError: it holds none.
        OSError: it can't be read.
    """
    try:
        if path.stat().st_size > LARGEST_REQUEST_BYTES:
            raise DamagedError("is no request: it is larger than one can be")
        kept = read_object(path)
        request = Request(
            action=kept["action"],
            origin=kept["origin"],
            trial=None if kept["trial"] is None else str(kept["trial"]),
            values=dict(kept["values"]),
            seeds=int(kept["seeds"]),
            time=float(kept["time"]),
        )
    except (DamagedError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise UserError(f"{path.name} holds no request ({type(error).__name__}: {error})") from None
    if request.action not in ACTIONS or request.origin not in ORIGINS or not 0 <= request.time < NO_TIME:
        raise UserError(f"{path.name} holds no request: its action, origin or time is none")
    return request


def _as_typed(value: Any) -> str:
    """A value of a field as YAML takes it; JSON is such."""
    return value if isinstance(value, str) else json.dumps(value)
