"""A command's work in a process of its own: however that dies, the other one says so and leaves nothing running."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from basis.packages import ROOT
from tests.conftest import PATIENCE_SECONDS

COMMAND = """
import os, signal, subprocess, sys, time
from contextlib import contextmanager
from pathlib import Path
from rich.console import Console
from sweep.command import run_command
from sweep.driver.ending import SweepFolder, sweep_and_report
from basis.errors import RayDiedError, UserError
from sweep.cluster.watch import ray_watched

folder, name = Path(sys.argv[1]), sys.argv[2]

def begun():
    starts = folder / "starts"
    starts.write_text((starts.read_text() if starts.exists() else "") + "x")
    (folder / "spec.yaml").touch()
    subprocess.Popen(["sleep", "1000"], process_group=0)  # such as a worker of Ray
    return len(starts.read_text())

def waits(work):
    begun()
    (folder / "pids").write_text(f"{os.getpid()} {os.getpgrp()}")
    time.sleep(1000)

def prepares(work):
    (folder / "pids").touch()
    time.sleep(1000)

def ignores(work):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    waits(work)

def aborts(work):
    begun()
    with work.libraries_aside():
        print("printed by a library")
        os.write(2, b"a stack\\n")
        os.abort()

def aborts_on_a_full_disk(work):
    if not (folder / "ray.log").is_symlink():
        (folder / "ray.log").symlink_to("/dev/full")
    aborts(work)

def prints_on_a_full_disk(work):
    begun()
    os.dup2(os.open("/dev/full", os.O_WRONLY), work._diary)
    with work.libraries_aside():
        print("printed by a library")
    raise UserError("and went on")

def aborts_once(work):
    if begun() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    raise UserError("data.train: changed meanwhile")

def loses_ray(work):
    begun()
    with ray_watched(work):
        raylet = subprocess.Popen([folder / "raylet", "-c", "import time; time.sleep(1000)"])
        time.sleep(1)
        raylet.terminate()
        time.sleep(1000)  # as Ray waits, for a minute

def never_starts(work):
    raise RayDiedError("it can't start on this machine (busy)")

def refuses(work):
    raise UserError("data.train: no such file")

def breaks(work):
    begun()
    raise ZeroDivisionError("a fault of ours")

@contextmanager
def beside_the_sweep():
    try:
        yield
    finally:
        with (folder / "left").open("a") as left:
            left.write("x")

def main(console):
    place = SweepFolder(folder, "BEGIN", "RESUME", console)
    with beside_the_sweep():
        return sweep_and_report(globals()[name], place, apart=True, restarts=2)

sys.exit(run_command(main, []))
"""


def begin(folder: Path, name: str, **how: Any) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", COMMAND, str(folder), name]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(arguments, cwd=ROOT, **{**pipes, **how})


def begun(folder: Path, name: str, **how: Any) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A command whose work waits, and the processes of that work."""
    command = begin(folder, name, **how)
    end = time.monotonic() + PATIENCE_SECONDS
    while not (folder / "pids").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    return command, psutil.Process(command.pid).children(recursive=True)


def ended(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


@pytest.mark.parametrize(
    ("name", "code", "starts", "said"),
    [
        (
            "aborts",
            1,
            3,
            ["is started again, 2 of 2 times", "its process was ended by SIGABRT", "continue with: RESUME"],
        ),
        ("aborts_on_a_full_disk", 1, 3, ["not kept (No space left on device)", "SIGABRT", "continue with: RESUME"]),
        ("prints_on_a_full_disk", 2, 1, ["error: and went on"]),
        ("aborts_once", 2, 2, ["ended by SIGKILL) and is started again, 1 of 2 times", "error: data.train: changed"]),
        ("loses_ray", 1, 3, ["(raylet was ended by SIGTERM) and is started again, 2 of 2", "continue with: RESUME"]),
        ("never_starts", 1, 0, ["Ray has died: it can't start on this machine (busy)", "start again with: BEGIN"]),
        ("refuses", 2, 0, ["error: data.train: no such file"]),
        ("breaks", 1, 1, ["ZeroDivisionError: a fault of ours", "continue with: RESUME"]),
    ],
)
def test_however_a_sweeps_process_ends_the_command_says_so_and_how_to_go_on(
    name: str, code: int, starts: int, said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "raylet").symlink_to(sys.executable)
    command = begin(tmp_path, name)
    output, errors = command.communicate(timeout=PATIENCE_SECONDS)
    assert command.returncode == code
    assert len((tmp_path / "starts").read_text() if starts else "") == starts
    for text in said:
        assert text in output + errors
    assert "a stack" not in output + errors
    assert (tmp_path / "left").read_text() == "x", "a block around the sweep was left in both processes"
    assert ("Traceback" in errors) == (name == "breaks")
    if name == "aborts":
        assert (tmp_path / "ray.log").read_text().splitlines()[:2] == ["printed by a library", "a stack"]


@pytest.mark.parametrize(
    ("number", "ignored", "code"),
    [
        (signal.SIGINT, None, 130),
        (signal.SIGTERM, None, 143),
        (signal.SIGHUP, None, 129),
        (signal.SIGTERM, signal.SIGINT, 143),  # by a shell, of what it puts into the background
    ],
)
def test_whatever_asks_a_sweep_to_end_it_says_how_to_go_on(
    number: int, ignored: int | None, code: int, tmp_path: Path
) -> None:
    ignore = (lambda: signal.signal(ignored, signal.SIG_IGN)) if ignored else None
    command, work = begun(tmp_path, "waits", preexec_fn=ignore)
    command.send_signal(number)
    output, errors = command.communicate(timeout=PATIENCE_SECONDS)
    assert command.returncode == code
    assert output.splitlines() == ["0 finished, the others were cut short", "continue with: RESUME"]
    assert errors == ""
    assert ended(work)


def test_what_is_interrupted_before_it_begins_says_how_to_start_again(tmp_path: Path) -> None:
    command, work = begun(tmp_path, "prepares")
    command.send_signal(signal.SIGINT)
    output, errors = command.communicate(timeout=PATIENCE_SECONDS)
    assert (command.returncode, errors) == (130, "")
    assert output.splitlines() == ["interrupted", "start again with: BEGIN"]
    assert ended(work)


def test_a_signal_to_all_processes_of_a_job_is_one_request(tmp_path: Path) -> None:
    command, work = begun(tmp_path, "waits")
    for process in [*work, psutil.Process(command.pid)]:  # as Slurm and systemd do
        process.terminate()
    output, errors = command.communicate(timeout=PATIENCE_SECONDS)
    assert (command.returncode, errors) == (143, "")
    assert output.splitlines()[-1] == "continue with: RESUME"


def test_a_second_ctrl_c_ends_at_once_what_does_not_heed_the_first(tmp_path: Path) -> None:
    command, work = begun(tmp_path, "ignores")
    command.send_signal(signal.SIGINT)
    time.sleep(0.7)
    command.send_signal(signal.SIGINT)
    output, _ = command.communicate(timeout=10)  # the first alone would end it after 15 s
    assert command.returncode == 130
    assert output.splitlines()[-2:] == ["interrupted", "continue with: RESUME"]
    assert ended(work)


def test_a_closed_terminal_ends_the_sweep_and_not_its_last_words(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command, work = begun(tmp_path, "ignores", stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    os.close(ours)  # from now on, whatever is written there is an error
    command.send_signal(signal.SIGHUP)
    time.sleep(0.7)
    command.send_signal(signal.SIGHUP)  # the shell's, after the terminal's: no reason to hurry
    with pytest.raises(subprocess.TimeoutExpired):
        command.wait(0.5)
    command.terminate()  # and that is one
    assert command.wait(PATIENCE_SECONDS) == 129
    assert ended(work)


def test_under_nohup_a_closed_terminal_changes_nothing(tmp_path: Path) -> None:
    command, work = begun(tmp_path, "waits", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    command.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        command.wait(0.5)
    assert all(process.is_running() for process in work)
    command.kill()  # which nothing can be said after; but nothing stays, either
    assert ended(work)


def test_what_is_stopped_and_goes_on_is_the_work_too(tmp_path: Path) -> None:
    command, work = begun(tmp_path, "waits")
    command.send_signal(signal.SIGTSTP)  # Ctrl-Z
    end = time.monotonic() + PATIENCE_SECONDS
    both = [psutil.Process(command.pid), *work]  # a SIGCONT to a command that has not stopped yet would be lost
    while {process.status() for process in both} != {psutil.STATUS_STOPPED}:
        assert time.monotonic() < end
        time.sleep(0.02)
    command.send_signal(signal.SIGCONT)  # fg
    while psutil.STATUS_STOPPED in {process.status() for process in work}:
        assert time.monotonic() < end
        time.sleep(0.02)
    command.terminate()
    assert command.wait(PATIENCE_SECONDS) == 143
