"""The live table of a running sweep: a Ray callback that keeps one line per trial, and Rich that draws it."""

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ray import tune
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from basis.metrics import NOT_JUDGED, REMARKS
from basis.outcomes import Ending
from sweep.proposal import Proposal
from sweep.trial.config import TrialConfig


class State(StrEnum):
    """How far a trial of the live table is, in the word that the table shows."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


STYLES = {
    State.WAITING: "dim",
    State.RUNNING: "cyan",
    State.FINISHED: "green",
    State.FAILED: "red",
    State.STOPPED: "yellow",
}

LEAST_WANTED = ("tokens/s", "peak MiB", "train loss", "win rate", "left")
"""Columns that a narrow terminal does without, the first one first."""
TOGETHER_SECONDS = 2
"""What dies with one node is heard of within so long."""
OF_A_NODE = ("NodeDiedError: ", "UnreachableError: ")
TELLING = (State.RUNNING, State.FAILED, State.STOPPED, State.FINISHED, State.WAITING)
"""States of trials, those first that are shown where there is no room for all."""
AROUND = 3
"""Lines of a terminal that the table's titles, its last line and the prompt take."""
GAP = 2
"""Letters between two columns."""


@dataclass
class Line:
    """What is known of one trial."""

    label: str
    steps: int
    state: State = State.WAITING
    row: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds_left(self) -> float | None:
        """Time that the remaining steps will take at the mean pace so far, evaluation included."""
        done = self.row.get("step", 0)
        if self.state != State.RUNNING or not done:
            return None
        spent = self.row["train_seconds"] + self.row["evaluation_seconds"]
        return float(spent / done * (self.steps - done))


class LiveTable(tune.Callback):  # type: ignore[misc]  # Ray has no types
    """On a terminal one table that is redrawn in place; elsewhere one line per trial that starts or ends.

    Use it as a context manager around `Tuner.fit`, which gets it as a callback.
    """

    def __init__(self, planned: list[TrialConfig], total: int, console: Console) -> None:
        """`planned` are the trials that are known beforehand, `total` how many there will be at least."""
        self.total = total
        self.lines = {config.name: _line(config) for config in planned}
        self._console = console
        self._started = time.monotonic()
        self._dead_nodes: dict[str, _Death] = {}
        self._live = Live(
            get_renderable=self.render,
            console=console,
            refresh_per_second=2,
            transient=True,
            auto_refresh=True,
            redirect_stdout=False,  # what libraries print is none of the table's
            redirect_stderr=False,
        )

    def __enter__(self) -> "LiveTable":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._say_dead_nodes(time.monotonic())
        if self._console.is_terminal:
            self._live.stop()

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles callbacks into the experiment; a terminal can't be part of that."""
        return {"total": self.total, "lines": self.lines}

    # Ray calls these, with keyword arguments of these names.

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial starts, or starts again after a failure."""
        self._line(trial).state = State.RUNNING
        self._say(f"{trial} starts")

    def show_recovery(self, trial: Any, failure: Ending | None) -> None:
        """A trial has failed and will be started again."""
        self._line(trial).state = State.WAITING
        self._say_failure(trial, failure, "will be tried once more")

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A trial has reported a row."""
        line = self._line(trial)
        for remark in result.get(REMARKS, ()):
            self._console.print(Text(f"{trial}: {remark}", style="yellow"), soft_wrap=True)
        line.row = {**line.row, **result}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """A trial has ended: finished, or stopped before its last step."""
        line = self._line(trial)
        line.state = State.FINISHED if line.row.get("finished") else State.STOPPED
        losses = [name for name in ("validation_loss", "test_loss") if name in line.row]
        told = [f", {name.replace('_', ' ')} {line.row[name]:.4f}" for name in losses]
        if why := line.row.get(NOT_JUDGED):
            told.append(f", not judged: {why}")
        self._say(f"{trial} {line.state}{''.join(told)}")

    def show_failure(self, trial: Any, failure: Ending | None) -> None:
        """A trial has failed for good."""
        self._line(trial).state = State.FAILED
        self._say_failure(trial, failure, "failed")

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Ray's loop has gone round: what died with one node has been heard of by now."""
        self._say_dead_nodes(time.monotonic() - TOGETHER_SECONDS)

    def render(self) -> Group:
        """The table as it stands, as far as it fits, with a line about the whole sweep below."""
        every = list(self.lines.values())  # Ray's thread may add a line meanwhile
        lines = most_telling(every, max(1, self._console.height - AROUND) if self._console.is_terminal else len(every))
        tuned = any("validation_loss" in line.row for line in lines)
        rows = [_cells(line, "held-out loss" if tuned else "test loss") for line in lines]
        table = Table(box=None, header_style="bold", pad_edge=False)
        titles = _titles_that_fit(rows, self._console.width)
        for title in titles:
            table.add_column(title, justify="left" if title in ("trial", "state") else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(row[title] for title in titles))
        return Group(table, Text(self._summary(len(every) - len(lines)), style="dim"))

    def _summary(self, left_out: int = 0) -> str:
        states = Counter(line.state for line in list(self.lines.values()))
        ended = [f"{states[state]} {state}" for state in (State.FINISHED, State.FAILED, State.STOPPED) if states[state]]
        parts = [*ended, f"{clock(time.monotonic() - self._started)} so far"]
        parts += [f"{left_out} not shown"] if left_out else []
        return f"{max(self.total, states.total())} trials: {', '.join(parts)}"

    def _line(self, trial: Any) -> Line:
        if str(trial) not in self.lines:
            self.lines[str(trial)] = _line(Proposal.from_ray(trial.config).config)
        return self.lines[str(trial)]

    def _say_failure(self, trial: Any, failure: Ending | None, then: str) -> None:
        """Say why a trial failed last, and what becomes of it."""
        reason = failure.reason if failure else "for no reason on record"
        reason = re.sub(r"^(\w+\.)+(?=\w+: )", "", reason)  # the type without its module
        if reason.startswith(OF_A_NODE):  # and all that ran on it
            death = self._dead_nodes.setdefault(reason.partition(": ")[2], _Death(time.monotonic()))
            death.trials.setdefault(then, []).append(str(trial))
        else:
            self.tell(f"{trial} {then}: {reason}")

    def _say_dead_nodes(self, heard_before: float) -> None:
        for node, death in list(self._dead_nodes.items()):
            if death.heard <= heard_before:
                del self._dead_nodes[node]
                self.tell(f"{node}: {death}")

    def _say(self, text: str) -> None:
        if not self._console.is_terminal:  # where the table shows it
            self.tell(text)

    def tell(self, text: str) -> None:
        """Print a line with the time, on a terminal above the table."""
        self._console.print(
            f"{clock(time.monotonic() - self._started)}  {text}", highlight=False, markup=False, soft_wrap=True
        )


def most_telling(lines: list[Line], room: int) -> list[Line]:
    """The lines that a terminal has room for, in their order: running ones first, then failed, ended and waiting ones.

    A table higher than the terminal would be cut at its end and take the longer to draw, twice a second.
    """
    if len(lines) <= room:
        return lines
    places = sorted(range(len(lines)), key=lambda place: (TELLING.index(lines[place].state), place))
    return [lines[place] for place in sorted(places[:room])]


def _cells(line: Line, held_out: str) -> dict[str, Text]:
    """What the table says of a trial, by the titles of its columns; `held_out` is that of the loss on such windows."""
    row = line.row
    cells = {
        "trial": line.label,
        "state": line.state,
        "step": f"{row.get('step', 0)}/{line.steps}",
        "train loss": _number(row.get("train_loss"), "{:.4f}"),
        held_out: _number(row.get("test_loss", row.get("validation_loss")), "{:.4f}"),
        "peak MiB": _number(row.get("peak_bytes"), "{:,.0f}", 2**20),
        "tokens/s": _number(row.get("tokens_per_second"), "{:,.0f}"),
        "left": clock(line.seconds_left),
        "win rate": _number(row.get("win_rate"), "{:.2f}"),
    }
    return {title: Text(text, style=STYLES[line.state] if title == "state" else "") for title, text in cells.items()}


def _titles_that_fit(rows: list[dict[str, Text]], width: int) -> list[str]:
    """The columns of the table but for those that a terminal of `width` letters has no room for."""
    wide = {title: max(len(title), *(len(row[title]) for row in rows)) + GAP for title in (rows[0] if rows else {})}
    for title in LEAST_WANTED:
        if sum(wide.values()) - GAP > width:
            del wide[title]
    return list(wide)


@dataclass
class _Death:
    """Trials that a node took with it, by what becomes of them; `heard` is when the first was heard of."""

    heard: float
    trials: dict[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(
            f"{len(names)} trial{'s' * (len(names) > 1)} {outcome} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
            for outcome, names in self.trials.items()
        )


def _line(config: TrialConfig) -> Line:
    return Line(config.name.rpartition("-")[0], config.steps)  # the directory's name without its digest


def clock(seconds: float | None) -> str:
    """Seconds as m:ss or h:mm:ss; a dash if unknown."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _number(value: float | None, form: str, divisor: float = 1) -> str:
    return "-" if value is None else form.format(value / divisor)
