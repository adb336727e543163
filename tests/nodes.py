"""A cluster of Ray on this machine, whose nodes can die and join while a sweep runs.

Nodes of a cluster listen on every address, so they run in a network of their own, which has nothing but loopback.
"""

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

from basis.packages import ROOT
from tests.apart import APART
from tests.object_store import ENVIRONMENT

CLUSTER = """
start() {
    SFT_SWEEP_CACHE="$NODES/cache$1" \\
    ray start --node-ip-address=127.0.0.$1 --num-gpus=0 --disable-usage-stats --block "${@:2}" > "$NODES/$1" 2>&1 &
    until grep -q "Ray runtime started" "$NODES/$1"; do sleep 0.2; done
}
blind() {
    [ -n "$HIDDEN" ] && mount -t tmpfs none "$HIDDEN"
    if [ -n "$SMALL" ] && [ "$1" = 3 ]; then
        mkdir "$NODES/cache3" && mount -t tmpfs -o size="$SMALL" none "$NODES/cache3"
    fi
    start "$@"
    wait
}
export -f start blind
if [ -n "$STORE" ]; then
    python -m tests.object_store "${STORE##*:}" "$NODES/stored" &
    store=$!
    until [ -e "$NODES/stored/ready" ]; do sleep 0.2; done
fi
start 2 --head --port=6379 --num-cpus=0 --include-dashboard=false --temp-dir="$NODES/ray"
unshare --mount bash -c 'blind "$@"' node 3 --address=127.0.0.2:6379 --num-cpus=1 &
(
    until [ -e "$NODES/join" ]; do sleep 0.2; done
    exec unshare --mount bash -c 'blind "$@"' node 4 --address=127.0.0.2:6379 --num-cpus=1
) &
until grep -q "Ray runtime started" "$NODES/3"; do sleep 0.2; done
python -m sweep.run "$@" --address 127.0.0.2:6379
code=$?
[ -n "$STORE" ] && kill -TERM $store && wait $store
kill $(jobs -p)
wait
exit $code
"""
"""A head that runs no trials, a node, and another one that joins once it is asked for; then the sweep."""

STORE = "http://127.0.0.1:9000"


@contextmanager
def swept_by_nodes(
    folder: Path, *words: object, store: str = "", hidden: Path | None = None, small: str = ""
) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Begin a sweep on the cluster.

    Args:
        folder: for the driver's cache.
        words: of the command.
        store: the endpoint of the object store that runs beside it; it is dumped at the end, into "stored".
        hidden: a folder that the nodes see empty.
        small: size of the disk of the node 127.0.0.3, such as "64k"; without it that is the machine's.

    Yields:
        Its process, and a folder with the nodes' files: "cacheN" of the node 127.0.0.N.
    """
    nodes = Path(tempfile.mkdtemp(prefix="sft-", dir="/tmp"))  # of few letters, for Ray's sockets
    (nodes / "token").write_text(secrets.token_hex(32), encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SFT_SWEEP_"))},
        **ENVIRONMENT,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "NODES": str(nodes),
        "STORE": store,
        "HIDDEN": str(hidden or ""),
        "SMALL": small,
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
