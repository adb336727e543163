"""The Slurm script as it is, end to end: a time limit ends the sweep, and a start on two nodes of Ray completes it.

Slurm's own commands have stand-ins. Ray's nodes listen on every address, so they run in a network of their own, which
has nothing but loopback.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from basis.directory import EVENTS_FILE, FINISHED_FILE
from basis.packages import ROOT
from sweep.progress.event_file import read_events
from sweep.progress.progress import State, fold
from tests.apart import APART, NOT_APART, can_be_apart
from tests.conftest import PATIENCE_SECONDS, Parts, wait_for

SCRIPT = ROOT / "deploy" / "slurm.sbatch"

SRUN = """#!/bin/bash
tasks=1
while [[ $1 == --* ]]; do
    [[ $1 == --ntasks=* ]] && tasks=${1#*=}
    shift
done
for ((rank = 0; rank < tasks; rank++)); do
    SLURM_PROCID=$rank "$@" &
    started+=($!)
done
trap 'kill "${started[@]}"' TERM
wait
wait
"""
STAND_INS = {
    "srun": SRUN,  # all tasks on this machine; SIGTERM is passed on to them
    "scontrol": '#!/bin/sh\necho "$@" >> "$SCONTROL_WAS_ASKED"\n',
    "hostname": "#!/bin/sh\necho 'fe80::1 127.0.0.2 '\n",
}


@pytest.mark.slow
@pytest.mark.skipif(not can_be_apart(), reason=NOT_APART)
def test_a_sweep_that_meets_its_time_limit_is_queued_again_and_completed(parts: Parts, tmp_path: Path) -> None:
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name, text in STAND_INS.items():
        (stand_ins / name).write_text(text, encoding="utf-8")
        (stand_ins / name).chmod(0o755)
    asked = tmp_path / "asked"
    job = os.getpid()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SFT_SWEEP_", "SLURM_"))},
        "PATH": os.pathsep.join([str(stand_ins), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SCONTROL_WAS_ASKED": str(asked),
        "SLURM_JOB_ID": str(job),
        "SLURM_CPUS_PER_TASK": "1",
        "RAY_memory_monitor_refresh_ms": "0",
    }
    trial = {"steps": 300, "batch_size": 4, "block_size": 32, "test_every": 10, "test_windows": 4}
    arm = {"method": "full", "optimizer": "adamw", "lr": 1e-3}
    spec = parts.write_spec(
        tmp_path, space=[arm], resources={"cpu": 1}, trial=trial, reward={"model": None}, checkpoint_seconds=0
    )
    output = tmp_path / "results" / "tiny"

    def start(nodes: int) -> subprocess.Popen[str]:
        command = [*APART, "bash", str(SCRIPT), str(spec), str(output)]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**environment, "SLURM_JOB_NUM_NODES": str(nodes)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    first = start(nodes=1)  # which is the sooner there
    wait_for(lambda: first.poll() is not None or bool(list(output.glob("*/checkpoint.pt"))))
    first.send_signal(signal.SIGUSR1)
    said, _ = first.communicate(timeout=PATIENCE_SECONDS)
    assert first.returncode == 143, said
    assert re.search(r"nodes of Ray at 127.0.0.2:\d+: 1", said)
    assert asked.read_text(encoding="utf-8") == f"requeue {job}\n"
    assert not list(output.glob(f"*/{FINISHED_FILE}"))

    second = start(nodes=2)
    said, _ = second.communicate(timeout=PATIENCE_SECONDS)
    assert second.returncode == 0, said
    assert re.search(r"nodes of Ray at 127.0.0.2:\d+: 2", said)
    assert len(list(output.glob(f"*/{FINISHED_FILE}"))) == 1
    assert (output / "report" / "report.html").exists()
    events, _, _ = read_events(output / EVENTS_FILE, 0)
    assert fold(events).counts()[State.FINISHED] == 1
    assert len(asked.read_text(encoding="utf-8").splitlines()) == 1
    assert not Path(f"/tmp/sft-{job}").exists()
