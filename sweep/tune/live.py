"""What a user sees of a sweep while it runs: on a terminal a screen that is redrawn, elsewhere a line per event."""

import re
import time
from typing import Any

from ray import tune
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from sweep.progress.events import EndEvent, EndState, Event, RowEvent, StartEvent
from sweep.progress.progress import Progress
from sweep.progress.terminal import clock, render
from sweep.tune.dead_nodes import TOGETHER_SECONDS, DeadNodes
from sweep.tune.pickled_empty import PickledEmpty


class LiveTable(PickledEmpty, tune.Callback):  # type: ignore[misc]  # Ray has no types
    """On a terminal the sweep as it stands, redrawn in place; elsewhere one line per trial that starts or ends.

    Use it as a context manager around `Tuner.fit`, which gets it as a callback; an `EventLog` tells it what happens.
    """

    def __init__(self, console: Console) -> None:
        """Nothing is drawn yet."""
        self.progress = Progress()
        self._console = console
        self._started = time.monotonic()
        self._dead_nodes = DeadNodes()
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

    def hear(self, event: Event) -> None:
        """Take in what happened, and say what a user is to know of it."""
        self.progress.add(event)
        match event:
            case StartEvent():
                self._say(f"{event.trial} starts")
            case RowEvent():
                for remark in event.remarks:
                    self._console.print(Text(f"{event.trial}: {remark}", style="yellow"), soft_wrap=True)
            case EndEvent(state=EndState.FAILED):
                self._say_failure(event, "failed")
            case EndEvent(state=EndState.RETRIED):
                self._say_failure(event, "will be tried once more")
            case EndEvent():
                self._say_end(event)

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:
        """Ray's loop has gone round: what died with one node has been heard of by now."""
        self._say_dead_nodes(time.monotonic() - TOGETHER_SECONDS)

    def render(self) -> Group:
        """The sweep as it stands, as far as the terminal has room."""
        return render(self.progress, self._console.width, self._console.height, time.time())

    def tell(self, text: str) -> None:
        """Print a line with the time, on a terminal above the table."""
        self._console.print(
            f"{clock(time.monotonic() - self._started)}  {text}", highlight=False, markup=False, soft_wrap=True
        )

    def _say_end(self, event: EndEvent) -> None:
        """Say how a trial ended that did not fail."""
        trial = self.progress.trials.get(event.trial)
        metrics = trial.metrics if trial else {}
        losses = [name for name in ("validation_loss", "test_loss") if name in metrics]
        told = [f", {name.replace('_', ' ')} {metrics[name]:.4f}" for name in losses]
        told += [f", {event.reason}"] if event.reason else []
        self._say(f"{event.trial} {event.state}{''.join(told)}")

    def _say_failure(self, event: EndEvent, then: str) -> None:
        """Say why a trial failed last, and what becomes of it."""
        reason = re.sub(r"^(\w+\.)+(?=\w+: )", "", event.reason)  # the type without its module
        if not self._dead_nodes.take(event.trial, then, reason, time.monotonic()):
            self.tell(f"{event.trial} {then}: {reason}")

    def _say_dead_nodes(self, heard_before: float) -> None:
        for line in self._dead_nodes.told(heard_before):
            self.tell(line)

    def _say(self, text: str) -> None:
        if not self._console.is_terminal:  # where the table shows it
            self.tell(text)
