"""A sweep on several nodes of Ray, one of which dies: what has finished stays, and the rest goes on elsewhere.

Nodes of a cluster listen on every address, so they run in a network of their own, which has nothing but loopback.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from basis.directory import CHECKPOINT_FILE, FINISHED_FILE, RESULT_FILE
from basis.packages import ROOT
from sweep.inputs import SweepInputs
from sweep.search_space import enumerate_trials
from sweep.spec_file.load import load_spec
from tests.apart import APART, NOT_APART, can_be_apart
from tests.conftest import PATIENCE_SECONDS, Parts, wait_for
from tests.sweep.test_interrupted_sweeps import rows_never_stopped
from tests.sweep.worker.test_trial_run import timeless

CLUSTER = """
start() {
    ray start --node-ip-address=127.0.0.$1 --num-gpus=0 --disable-usage-stats --block "${@:2}" > "$NODES/$1" 2>&1 &
    until grep -q "Ray runtime started" "$NODES/$1"; do sleep 0.2; done
}
start 2 --head --port=6379 --num-cpus=0 --include-dashboard=false --temp-dir="$NODES/ray"
start 3 --address=127.0.0.2:6379 --num-cpus=1
(until [ -e "$NODES/join" ]; do sleep 0.2; done; start 4 --address=127.0.0.2:6379 --num-cpus=1; wait) &
python -m sweep.run "$@" --address 127.0.0.2:6379
code=$?
kill $(jobs -p)
wait
exit $code
"""
"""A head that runs no trials, a node, and another one that joins once it is asked for; then the sweep."""

pytestmark = pytest.mark.skipif(not can_be_apart(), reason=NOT_APART)


@contextmanager
def swept_by_nodes(folder: Path, *words: object) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Begin a sweep on the cluster; yields its process and the folder of the nodes."""
    nodes = Path(tempfile.mkdtemp(prefix="sft-", dir="/tmp"))  # of few letters, for Ray's sockets
    (nodes / "token").write_text(secrets.token_hex(32), encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SFT_SWEEP_"))},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "NODES": str(nodes),
        "SFT_SWEEP_CACHE": str(folder / "cache"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(nodes / "token"),
        "RAY_memory_monitor_refresh_ms": "0",
    }
    command = [*APART, "bash", "-c", CLUSTER, "cluster", *map(str, words)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as cluster:
        try:
            yield cluster, nodes
        finally:
            for process in psutil.process_iter():
                with suppress(psutil.Error):  # another user's, or one that has ended meanwhile
                    if process.environ().get("NODES") == str(nodes):
                        process.kill()
            shutil.rmtree(nodes, ignore_errors=True)


def kill_node_of_a_trial(cluster: "subprocess.Popen[str]") -> None:
    """As if its machine lost power: Ray's process of the node that runs a trial, and all that it has started."""
    [worker] = [
        process
        for process in psutil.Process(cluster.pid).children(recursive=True)
        if "Trainable" in " ".join(process.cmdline())
    ]
    raylet = worker.parent()
    assert raylet is not None
    assert raylet.name() == "raylet"
    for process in (raylet, *raylet.children(recursive=True)):
        process.kill()


def test_a_trial_whose_node_dies_goes_on_from_its_checkpoint_on_a_node_that_joins_late(
    parts: Parts, inputs: SweepInputs, tmp_path: Path
) -> None:
    trial = {"steps": 400, "batch_size": 4, "block_size": 32, "test_every": 20, "test_windows": 4}
    space = [
        {"method": "full", "optimizer": "adamw", "lr": 1e-3, "steps": 20},
        {"method": "lora", "rank": 2, "optimizer": "adamw", "lr": 1e-2, "dropout": 0.1},
    ]
    spec = parts.write_spec(
        tmp_path, space=space, trial=trial, checkpoint_seconds=0, resources={"cpu": 1}, reward={"model": None}
    )
    output = tmp_path / "out"
    with swept_by_nodes(tmp_path, spec, "--output", output) as (cluster, nodes):
        wait_for(lambda: cluster.poll() is not None or bool(list(output.glob(f"lora-*/{CHECKPOINT_FILE}"))))
        assert cluster.poll() is None, cluster.communicate()[0]
        [early] = output.glob(f"full-*/{FINISHED_FILE}")
        kept = early.read_bytes(), early.stat().st_mtime_ns
        kill_node_of_a_trial(cluster)
        (nodes / "join").touch()
        said, _ = cluster.communicate(timeout=PATIENCE_SECONDS)
    assert cluster.returncode == 0, said
    assert "2 finished, 0 failed" in said
    assert (early.read_bytes(), early.stat().st_mtime_ns) == kept

    [finished] = output.glob(f"lora-*/{FINISHED_FILE}")
    places = [json.loads(line)["node_ip"] for line in (finished.parent / RESULT_FILE).read_text().splitlines()]
    assert set(places) == {"127.0.0.3", "127.0.0.4"}
    never_stopped = rows_never_stopped(enumerate_trials(load_spec(str(spec)))[1], inputs)
    assert timeless(json.loads(finished.read_text(encoding="utf-8"))["rows"]) == timeless(never_stopped)
