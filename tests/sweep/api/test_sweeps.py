"""From a Python session: a sweep is run in a notebook for real, and what can be wrong is raised in a line."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from basis.errors import UserError
from basis.packages import ROOT
from tests.conftest import Parts

Cells = list[Any]

FIRST, REPORT, FRAMES, LEFT, TYPO, STOPPED, AGAIN = range(7)


@pytest.fixture(scope="module")
def executed(
    parts: Parts, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory, in_environment: None
) -> Cells:
    """The code cells of a notebook that a kernel has executed."""
    folder = tmp_path_factory.mktemp("notebook")
    spec = parts.spec()
    (folder / "my prompts.csv").write_bytes(parts.prompts.read_bytes())
    spec["reward"]["prompts"] = "my prompts.csv"  # leads from the working directory
    sources = [
        f"from sweep import run, resume, load_results\nresults = run({spec!r}, 'an experiment')",
        "results.report()",
        "print(sorted(results.trials['arm']), len(results.responses), results.curves['step'].max())\n"
        "same = load_results('an experiment')\n"
        "print(same == results, same.trials.equals(results.trials), results.best().label)",
        "import psutil\nprint([child.name() for child in psutil.Process().children(recursive=True)])",
        f"run({ {**spec, 'trial': {**spec['trial'], 'step': 5} }!r})",
        "import os, signal, threading\n"
        "threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT]).start()\n"
        f"run({spec!r}, 'another')",
        "resume('an experiment') == results",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    for number in (TYPO, STOPPED):
        notebook.cells[number].metadata["tags"] = ["raises-exception"]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return list(notebook.cells)
