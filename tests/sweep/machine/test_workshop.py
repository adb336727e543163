"""What is being made when a process is killed: its children end with it, and the next who starts sweeps up."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from basis.packages import ROOT
from sweep.machine.workshop import WORKSHOPS, workshop
from tests.conftest import PATIENCE_SECONDS

BUILDER = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from sweep.machine.workshop import end_with_parent, workshop
if __name__ == "__main__":
    with workshop(Path(sys.argv[1])), ProcessPoolExecutor(
        2, mp_context=get_context("spawn"), initializer=end_with_parent
    ) as pool:
        for _ in range(2):
            pool.submit(time.sleep, 600)
        print("began", flush=True)
        time.sleep(600)
"""


def test_what_a_killed_builder_leaves_ends_and_is_swept_and_a_living_ones_stays(tmp_path: Path) -> None:
    script = tmp_path / "builder.py"
    script.write_text(BUILDER, encoding="utf-8")
    cache = tmp_path / "cache"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    builder = subprocess.Popen([sys.executable, script, cache], stdout=subprocess.PIPE, env=environment)
    assert builder.stdout is not None
    assert builder.stdout.readline() == b"began\n"
    with workshop(cache) as living:
        end = time.monotonic() + PATIENCE_SECONDS
        while len(children := psutil.Process(builder.pid).children(recursive=True)) < 3:  # two and their tracker
            assert time.monotonic() < end
            time.sleep(0.05)
        WORKSHOPS.remove_abandoned(cache)
        assert len(list(cache.iterdir())) == 2
        builder.send_signal(signal.SIGKILL)
        builder.wait()
        assert not psutil.wait_procs(children, timeout=PATIENCE_SECONDS)[1]
        WORKSHOPS.remove_abandoned(cache)
        assert list(cache.iterdir()) == [living]
    assert not list(cache.iterdir())


def test_a_folder_that_is_about_to_be_locked_is_left_alone(tmp_path: Path) -> None:
    new, old, other = tmp_path / f"{WORKSHOPS.prefix}new", tmp_path / f"{WORKSHOPS.prefix}old", tmp_path / ".mine"
    for folder in (new, old, other):
        folder.mkdir()
    os.utime(old, (0, 0))
    WORKSHOPS.remove_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == [other, new]


def test_a_workshop_goes_with_what_failed_in_it(tmp_path: Path) -> None:
    with contextlib.suppress(KeyError), workshop(tmp_path / "cache") as folder:
        assert (folder / WORKSHOPS.lock).exists()
        raise KeyError
    assert not list((tmp_path / "cache").iterdir())
