"""What the Slurm script does at each end of its driver, with stand-ins for Ray and the driver, too: no sweep runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from basis.packages import ROOT
from tests.conftest import PATIENCE_SECONDS, wait_for
from tests.deploy.test_slurm import STAND_INS

PYTHON = f"""#!/bin/bash
case "$1 $2" in
"-c "*) exec {sys.executable} "$@" ;;
"-P -c") exit 0 ;;
esac
trap 'exit '$AT_SIGNAL TERM
touch "$DRIVER_RUNS"
if [ -n "$BY_ITSELF" ]; then exit "$BY_ITSELF"; fi
while :; do sleep 0.05; done
"""


@pytest.mark.parametrize(
    ("sent", "at_signal", "by_itself", "restarts", "code", "queued"),
    [
        (signal.SIGUSR1, 143, "", "0", 143, True),
        (signal.SIGUSR1, 143, "", "20", 143, False),  # of one job no more
        (signal.SIGUSR1, 0, "", "0", 0, False),  # the sweep was just done
        (signal.SIGTERM, 143, "", "0", 143, False),  # scancel
        (None, 0, "0", "0", 0, False),
        (None, 0, "1", "0", 1, False),  # a trial failed
        (None, 0, "137", "0", 137, False),  # the driver was killed
    ],
)
def test_only_the_time_limit_queues_a_sweep_again(
    sent: signal.Signals | None,
    at_signal: int,
    by_itself: str,
    restarts: str,
    code: int,
    queued: bool,
    tmp_path: Path,
) -> None:
    srun = "#!/bin/bash\ntrap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n"
    for name, text in {**STAND_INS, "srun": srun, "python": PYTHON}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]]),
        "SCONTROL_WAS_ASKED": str(tmp_path / "asked"),
        "DRIVER_RUNS": str(tmp_path / "runs"),
        "AT_SIGNAL": str(at_signal),
        "BY_ITSELF": by_itself,
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_RESTART_COUNT": restarts,
    }
    script = subprocess.Popen(
        ["bash", str(ROOT / "deploy" / "slurm.sbatch"), "study", str(tmp_path / "out")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if sent is not None:
        wait_for((tmp_path / "runs").exists)
        script.send_signal(sent)
    said, _ = script.communicate(timeout=PATIENCE_SECONDS)
    assert script.returncode == code, said
    assert (tmp_path / "asked").exists() == queued
