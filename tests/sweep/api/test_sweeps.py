"""A sweep in a notebook, which a kernel executes for real."""

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from basis.packages import ROOT
from tests.conftest import Parts

RAN, REPORT, FRAMES, LEFT, TYPO, STOPPED = range(6)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cells(parts: Parts, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The cells of a notebook that runs a sweep, with their outputs."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "my prompts.csv").write_bytes(parts.prompts.read_bytes())
    spec = parts.spec()
    spec["reward"]["prompts"] = "my prompts.csv"
    sources = [
        f"from sweep import run, resume, load_results\nresults = run({spec!r}, 'an experiment')",
        "results.report()",
        "same = load_results('an experiment')\n"
        "print(sorted(results.trials['arm']), len(results.responses), results.curves['step'].max())\n"
        "print(same == results, same.trials.equals(results.trials), results.best().arm.label)",
        "import psutil\nprint([child.name() for child in psutil.Process().children(recursive=True)])",
        f"run({ {**spec, 'trial': {'step': 5}}!r})",
        "import os, signal, threading\n"
        "threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT]).start()\n"
        f"run({spec!r}, 'another')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    for number in (TYPO, STOPPED):
        notebook.cells[number].metadata["tags"] = ["raises-exception"]
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env={**environment, "PYTHONPATH": str(ROOT)})
    return list(notebook.cells)


def printed_by(cell: Any) -> str:
    """What a cell has printed, which comes in one piece or in several."""
    return "".join(output.text for output in cell.outputs)


def test_one_display_ends_with_what_the_sweep_shows(cells: list[Any]) -> None:
    [display] = cells[RAN].outputs
    assert display.output_type == "display_data"
    shown = display.data["text/plain"]
    assert "LOWEST LOSS" in shown
    assert "2 finished, 0 failed, 0 interrupted" in shown
    assert "\x1b" not in shown
    assert display.data["text/html"].startswith("<pre")


def test_the_report_is_shown_inline(cells: list[Any]) -> None:
    [page] = cells[REPORT].outputs
    assert page.data["text/html"].startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert "report.html" in page.data["text/plain"]


def test_frames_and_the_best_arm_are_those_of_the_directory(cells: list[Any]) -> None:
    assert printed_by(cells[FRAMES]) == "['full adamw', 'lora r2 sgd'] 12 6\nTrue True full adamw\n"


def test_no_process_of_the_sweep_is_left(cells: list[Any]) -> None:
    assert printed_by(cells[LEFT]) == "[]\n"


def test_a_typo_is_raised_in_a_line(cells: list[Any]) -> None:
    [error] = cells[TYPO].outputs
    assert error.ename == "SpecError"
    assert "trial.step: unknown key (did you mean 'steps'?)" in error.evalue


def test_the_stop_button_ends_the_sweep_and_says_how_to_go_on(cells: list[Any]) -> None:
    error = cells[STOPPED].outputs[-1]
    assert error.ename == "KeyboardInterrupt"
    assert error.evalue.startswith(("nothing has begun", "continue with: sweep.resume("))
