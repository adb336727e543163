"""Of two drivers on one cluster one works in a directory, whatever the file system knows; a dead one holds nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from basis.packages import ROOT
from tests.conftest import PATIENCE_SECONDS, wait_for
from tests.sweep.submission.conftest import Head

SCRIPT = """
import sys, time, ray
from pathlib import Path
from basis.errors import UserError
from sweep.cluster.cluster_claim import claimed_on_cluster
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
try:
    with claimed_on_cluster(Path("/shared/out")):
        print("HELD", flush=True)
        time.sleep(float(sys.argv[2]))
except UserError as error:
    print(error, flush=True)
"""


def driver(head: Head, seconds: float) -> "subprocess.Popen[str]":
    told = head.folder / "ray" / "ray_current_cluster"
    wait_for(told.exists)  # the head writes it once it has said that it runs
    address = told.read_text(encoding="utf-8").strip()
    command = [sys.executable, "-c", SCRIPT, address, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=head.environment)


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return next(line.strip() for line in process.stdout if line.startswith(("HELD", "/shared")))


@pytest.mark.slow
def test_one_driver_of_a_cluster_works_in_a_directory_and_a_dead_one_holds_nothing(head: Head, tmp_path: Path) -> None:
    first = driver(head, 600)
    assert said(first) == "HELD"
    second = driver(head, 0)
    assert said(second) == "/shared/out: another driver of this cluster works in this directory"
    second.wait(PATIENCE_SECONDS)
    first.kill()
    first.wait(PATIENCE_SECONDS)
    third = driver(head, 0)
    assert said(third) == "HELD"
    third.wait(PATIENCE_SECONDS)
    fourth = driver(head, 0)
    assert said(fourth) == "HELD"  # a claim that was given back
    fourth.wait(PATIENCE_SECONDS)
