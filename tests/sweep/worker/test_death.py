"""Why a worker died, in one line: from Ray's words, and from what the worker has left."""

import faulthandler
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from analysis.results.outcomes import outcome_of
from basis.directory import WORKER_FILE
from basis.outcomes import Outcome, ending_in_traceback
from basis.packages import ROOT
from sweep.tune.endings import Endings
from sweep.tune.event_log import EventLog
from sweep.tune.live import LiveTable
from sweep.worker.death import Worker, cause_of_death, note_end, worker_noted
from tests.sweep.worker.test_trial_run import config

DIED = """1 (occurred at 2026-11-27_04-00-00)
The actor died unexpectedly before finishing this task.
\tclass_name: Trainable
\tactor_id: 4a33278f0ca1c173e547b4f501000000
\tpid: 13353
\tnamespace: aae0fadf-4fe6-4bb5-9e76-12658698dff1
\tip: 10.0.0.7
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: """
UNEXPECTED = (
    DIED + "Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the "
    "process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) the worker "
    "crashed unexpectedly due to SIGSEGV or another unexpected error."
)
TERMINATED = DIED + "Worker exits unexpectedly. Worker exits with an exit code 1. The process receives a SIGTERM."
LEFT = DIED + "Worker exits unexpectedly. Worker exits with an exit code 4."
NODE = """1 (occurred at 2026-11-27_04-00-00)
The actor died unexpectedly before finishing this task.
\tpid: 13353
\tip: 10.0.0.7
The actor is dead because its node has died. Node Id: 6fa1e1487b0a62507829d5f13e9ef78a2962ce347593f37a8e452aa3
"""
LOW = """1 (occurred at 2026-11-27_04-00-00)
Task was killed due to the node running low on memory.
Memory on the node (IP: 10.0.0.7, ID: 6fa1e148) where the lease was running was 7.6GB / 8GB (0.95)
"""
GONE = "1\nThe actor 902232a3 is unavailable: The actor is temporarily unavailable: RpcError: RPC error: Socket closed"
NOTE = '{"pid": 13353, "node_ip": "10.0.0.7", "node_id": "6fa1e1487b0a6250"}\n'
IN_SETUP = "1\nThe actor died because of an error raised in its creation task, ray::Trainable\nOSError: x\n"
WHO = "process 13353 on 10.0.0.7"
ERROR = """1 (occurred at 2026-11-27_04-00-00)
ray::Trainable.train() (pid=13353, ip=10.0.0.7)
  File "x.py", line 3, in step
ValueError: The actor died unexpectedly before finishing this task. SIGTERM
"""


@pytest.mark.parametrize(
    ("text", "trace", "kernel", "cause"),
    [
        (UNEXPECTED, "", False, f"WorkerDiedError: {WHO} was ended by SIGKILL, since it left no trace"),
        (UNEXPECTED, "", True, f"OutOfMemoryError: {WHO} was ended by SIGKILL of the kernel, since memory"),
        (UNEXPECTED, "Fatal Python error: Segmentation fault\n", False, f"{WHO} was ended by SIGSEGV"),
        (UNEXPECTED, "Fatal Python error: Aborted\n", True, f"{WHO} was ended by SIGABRT"),
        (UNEXPECTED, "{}\nended: no report for 12 min\n", False, "10.0.0.7 was ended: no report for 12 min"),
        (TERMINATED, "", False, f"{WHO} was ended by SIGTERM"),
        (LEFT, "", False, f"{WHO} ended with exit code 4"),
        (NODE, "", False, "NodeDiedError: node 6fa1e148 at 10.0.0.7 has died"),
        (LOW, "", False, "OutOfMemoryError: its process was ended by Ray, since its node ran low on memory"),
        (ERROR, "", False, None),
        (IN_SETUP, "", False, None),
        (GONE, NOTE, False, "UnreachableError: node 6fa1e148 at 10.0.0.7 can't be reached any more"),
        (GONE, "", False, "WorkerDiedError: its process died"),
    ],
)
def test_what_killed_a_worker_is_one_line(text: str, trace: str, kernel: bool, cause: str | None) -> None:
    found = cause_of_death(text, trace, kernel)
    if cause is None:
        assert found is None
        return
    assert found is not None
    assert cause in found
    assert len(found) < 160
    assert "\n" not in found


def test_a_worker_that_crashes_leaves_its_trace_and_one_that_is_done_nothing(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from sweep.worker.death import Worker, worker_noted
with worker_noted(Path(sys.argv[1]), Worker(os.getpid(), "10.0.0.7", "abc")):
    os.kill(os.getpid(), int(sys.argv[2]))
"""
    for number, cause in ((11, "SIGSEGV"), (6, "SIGABRT"), (7, "SIGBUS"), (9, "SIGKILL"), (0, None)):
        ran = subprocess.run([sys.executable, "-c", script, str(tmp_path / "trial"), str(number)], cwd=ROOT)
        assert ran.returncode == -number
        if cause is None:
            assert not (tmp_path / "trial" / WORKER_FILE).exists()
        else:
            trace = (tmp_path / "trial" / WORKER_FILE).read_text()
            assert f"ended by {cause}" in str(cause_of_death(UNEXPECTED, trace, False))


class Trial(SimpleNamespace):
    """As much of one of Ray's trials as the live table looks at."""

    def __str__(self) -> str:
        return str(self.name)


@pytest.fixture
def fail(tmp_path: Path) -> Any:
    """Lets a trial fail with a text of Ray's under a live table; gives what the table says and Ray's error file."""

    def with_texts(texts: dict[str, str]) -> tuple[str, dict[str, Path]]:
        console, files = Console(width=500, file=open(tmp_path / "said", "w")), {}  # noqa: SIM115
        with LiveTable(console) as live:
            endings = Endings(EventLog(tmp_path / "events.jsonl", live.hear, live.tell))
            for name, text in texts.items():
                folder = tmp_path / name
                folder.mkdir()
                files[name] = folder / "error.txt"
                files[name].write_text(f"Failure # {text}\n")
                trial = Trial(name=name, path=str(folder), error_file=str(files[name]), config=config().model_dump())
                endings.on_trial_recover(iteration=1, trials=[], trial=trial)
        console.file.close()
        return (tmp_path / "said").read_text(), files

    return with_texts


def test_a_killed_worker_is_one_line_of_the_log_and_one_of_the_report(fail: Any) -> None:
    said, files = fail({"one": UNEXPECTED})
    [line] = said.splitlines()
    why = f"WorkerDiedError: {WHO} was ended by SIGKILL, since it left no trace"
    assert line.endswith(f"one will be tried once more: {why}")
    outcome, reason = outcome_of("ERROR", ending_in_traceback(files["one"].read_text()), [])
    assert (outcome, reason) == (Outcome.FAILED, why)
    said, files = fail({"low": LOW})
    assert outcome_of("ERROR", ending_in_traceback(files["low"].read_text()), [])[0] == Outcome.OUT_OF_MEMORY


def test_a_killed_node_is_one_line_however_many_trials_ran_on_it(fail: Any) -> None:
    said, files = fail({f"trial-{i}": NODE for i in range(44)})
    [line] = said.splitlines()
    assert line.endswith(
        "node 6fa1e148 at 10.0.0.7 has died: 44 trials will be tried once more (trial-0, trial-1, trial-2, ...)"
    )
    _, reason = outcome_of("ERROR", ending_in_traceback(files["trial-7"].read_text()), [])
    assert reason == "NodeDiedError: node 6fa1e148 at 10.0.0.7 has died"


def test_an_error_of_a_trial_is_said_as_it_was(fail: Any) -> None:
    said, files = fail({"one": ERROR})
    assert said.strip().endswith(
        "one will be tried once more: ValueError: " + ERROR.strip().rpartition("ValueError: ")[2]
    )
    assert files["one"].read_text() == f"Failure # {ERROR}\n"


def test_a_process_says_which_it_is_and_why_it_was_ended(tmp_path: Path) -> None:
    enabled = faulthandler.is_enabled()
    worker = Worker(123, "10.0.0.7", "6fa1")
    with worker_noted(tmp_path, worker):
        assert Worker.read(tmp_path) == worker
        note_end(tmp_path, "no report for 12 min")
        assert (tmp_path / WORKER_FILE).read_text().endswith("\nended: no report for 12 min\n")
        assert Worker.read(tmp_path) == worker
    assert Worker.read(tmp_path) is None
    if enabled:
        faulthandler.enable(sys.__stderr__)  # which pytest wants
