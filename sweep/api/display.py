"""What a notebook shows of a running sweep: one display, which is drawn anew in its place."""

import io
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.text import Text

from basis.directory import EVENTS_FILE
from sweep.progress.event_file import read_events
from sweep.progress.progress import Progress
from sweep.progress.terminal import render

if TYPE_CHECKING:
    from IPython.display import DisplayHandle

WIDTH, HEIGHT = 100, 24
"""Letters and lines of the display."""
DRAW_SECONDS = 1.0
OF_A_TRIAL = re.compile(r"[0-9:]+  ")
"""How a line begins that tells what has become of a trial (`LiveTable.tell`): with the time."""
SHOWN_EVENTS = 3
"""The newest of such lines that are shown below the table."""
PAGE = '<pre style="white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace">{code}</pre>'


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows more than text."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    shell = get_ipython()  # type: ignore[no-untyped-call]
    return shell is not None and hasattr(shell, "kernel")


class NotebookDisplay:
    """The display of one sweep: what it says, and between its beginning and its end the trials that run."""

    def __init__(self, directory: Path) -> None:
        """Nothing is shown yet.

        Args:
            directory: the experiment directory, which need not be there yet.
        """
        self._events, self._offset = directory / EVENTS_FILE, 0
        self._progress = Progress()
        self._began = time.time()
        self._said: list[str] = []
        self._of_trials: list[str] = []
        self._drawn = 0.0
        self._handle: DisplayHandle | None = None

    def say(self, line: str) -> None:
        """Take a line that the sweep's process prints; another thread may call."""
        (self._of_trials if OF_A_TRIAL.match(line) else self._said).append(line)

    def refresh(self) -> None:
        """Draw it anew, if it is time."""
        if time.monotonic() - self._drawn >= DRAW_SECONDS:
            self._draw()

    def close(self) -> None:
        """Draw it for the last time: what the sweep has said, without the table."""
        self._draw(is_over=True)

    def _draw(self, is_over: bool = False) -> None:
        self._drawn = time.monotonic()
        events, self._offset, _ = read_events(self._events, self._offset)
        for event in events:
            self._progress.add(event)
        resumed = self._progress.resumed
        runs = resumed is not None and resumed >= self._began  # and is not what an earlier process has left
        parts: list[Any] = [Text(line) for line in self._said]
        if runs and not is_over and self._progress.over is None:
            parts.append(render(self._progress, WIDTH, HEIGHT, time.time()))
        if not is_over:
            parts += [Text(line, style="dim") for line in self._of_trials[-SHOWN_EVENTS:]]
        self._show(Group(*parts))

    def _show(self, content: Group) -> None:
        from IPython.display import display

        letters = io.StringIO()
        console = Console(
            file=letters, width=WIDTH, record=True, force_terminal=True, force_jupyter=False, color_system="truecolor"
        )
        console.print(content)
        html = console.export_html(inline_styles=True, code_format=PAGE, clear=False)
        bundle = {"text/plain": console.export_text(), "text/html": html}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
