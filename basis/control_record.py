"""control.jsonl of an experiment directory: what somebody asked of the running sweep, and what came of it.

One JSON object a line, in the order in which the sweep decided; the keys are the attributes of `Decision`. The sweep
writes it (`sweep.steering.desk`). A sweep that is continued and a report both go by it.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from basis.directory import CONTROL_FILE

Action = Literal["stop", "start", "add", "seeds", "clone"]
ACTIONS: tuple[Action, ...] = get_args(Action)

Origin = Literal["command", "page"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)
NO_TIME = 2.0**35
"""Seconds since 1970 that no clock of a sweep has reached: of the year 3058."""

FROM = {"command": "from the command line", "page": "from the page"}
"""Where a request came from, as part of a sentence."""


@dataclass(frozen=True)
class Decision:
    """A request and what the sweep made of it.

    Attributes:
        id: of the request; each is decided once.
        time: when it was asked, in seconds since 1970.
        decided: when the sweep decided, likewise.
        origin: where it came from.
        words: the request as one types it.
        action: what it asked for.
        answer: what the sweep answered, in one line.
        refused: whether it was refused; the answer says why.
        trials: names of the trials that it stopped, started or made; none for a stop of the whole sweep.
        made: the configs of the trials that it made, in the order of `trials`.
        finished: how many trials had finished by then.
    """

    id: str
    time: float
    decided: float
    origin: str
    words: str
    action: str
    answer: str
    refused: bool = False
    trials: tuple[str, ...] = ()
    made: tuple[dict[str, Any], ...] = ()
    finished: int = 0

    def to_line(self) -> str:
        """The decision as a line of control.jsonl."""
        return json.dumps(asdict(self)) + "\n"

    @property
    def asked(self) -> str:
        """When and from where it was asked, such as "at 14:03, from the command line"."""
        return f"at {clock_time(self.time)}, {FROM[self.origin]}"


def read_decisions(experiment_dir: Path) -> list[Decision]:
    """The decisions of a sweep in their order; none where nobody has asked anything. Damaged lines are passed over."""
    try:
        return decisions_in((experiment_dir / CONTROL_FILE).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return []


def decisions_in(text: str) -> list[Decision]:
    """The decisions in the text of a control.jsonl; see `read_decisions`."""
    decisions = (decision for line in text.split("\n") if (decision := _decision(line)) is not None)
    return list({decision.id: decision for decision in decisions}.values())  # one may stand twice after a full disk


def stopped_trials(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """The trials that were stopped by request and not started again, by name, each with that decision."""
    stopped: dict[str, Decision] = {}
    for decision in decisions:
        for trial in () if decision.refused else decision.trials:
            if decision.action == "stop":
                stopped[trial] = decision
            elif decision.action == "start":
                stopped.pop(trial, None)
    return stopped


def clock_time(seconds: float) -> str:
    """A time as a clock of this machine shows it, such as "14:03"."""
    return time.strftime("%H:%M", time.localtime(seconds))


def _decision(line: str) -> Decision | None:
    """What a line of control.jsonl holds; None where that is no decision."""
    try:
        kept = json.loads(line)
        texts = {name: str(kept[name]) for name in ("id", "words", "answer")}
        if kept["action"] not in ACTIONS or kept["origin"] not in ORIGINS or not 0 <= kept["time"] < NO_TIME:
            return None
        decision = Decision(
            **texts,
            time=float(kept["time"]),
            decided=float(kept["decided"]),
            origin=kept["origin"],
            action=kept["action"],
            refused=bool(kept["refused"]),
            trials=tuple(map(str, kept["trials"])),
            made=tuple(map(dict, kept["made"])),
            finished=int(kept["finished"]),
        )
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return None
    return decision
