"""What the report of an experiment says by now, worked out in a process of its own."""

import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from analysis.verdict.summary import Summary
from basis.errors import name_failure
from sweep.live.known.folder import link_out_of


@dataclass(frozen=True)
class Analysis:
    """What a report says, ready for a page.

    Attributes:
        title: the experiment's name.
        about: what it is about, from its spec.
        summary: the first screen; None where nothing can be said.
        sections: the report's sections as HTML, by id.
        refusal: why there is no report, in one line; empty where there is one.
        seconds: how long it took to work out.
    """

    title: str = ""
    about: str = ""
    summary: Summary | None = None
    sections: dict[str, str] = field(default_factory=dict)
    refusal: str = ""
    seconds: float = 0.0


def analyse(directory: Path, running: bool) -> Analysis:
    """Read an experiment and work out what its report says. Whatever is wrong with it is told, and never raised.

    Args:
        directory: the experiment.
        running: whether its sweep runs; the page then has a figure of its own for the curves, which grows.
    """
    began = time.monotonic()
    try:
        if link := link_out_of(directory):
            return Analysis(refusal=f"{link} is a link that leads out of the directory; it is not followed")
        from analysis.figures.curves import NAME as CURVES
        from analysis.page.content import content_of  # imports pandas, matplotlib and Ray
        from analysis.page.html_page import sections_of
        from analysis.results.experiment import read_experiment

        content = content_of(read_experiment(directory))
        figures = {name: figure for name, figure in content.figures.items() if not running or name != CURVES}
        sections = sections_of(replace(content, figures=figures))
    except Exception as error:  # one damaged experiment must not hide the others
        return Analysis(refusal=name_failure(error), seconds=time.monotonic() - began)
    return Analysis(content.title, content.about, content.summary, sections, "", time.monotonic() - began)


def begin_apart() -> None:
    """Begin the process that analyses: it leaves the processors to a sweep, and Ctrl-C to the server. It ends with it.

    A pool's process that waits for work does not see that its server was killed.
    """
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_server, daemon=True).start()


def _end_with_server() -> None:
    if server := multiprocessing.parent_process():
        server.join()
        os._exit(1)
