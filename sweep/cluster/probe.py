"""Asks a running Ray cluster for its nodes, before anything is prepared for it.

Ray itself would wait for minutes if something else than Ray answers, or if only loopback reaches the head; and for ever
for resources that no node has. So another process asks, and we wait for it no longer than `ANSWER_SECONDS`.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from basis.errors import UserError
from sweep.cluster.resources import LONGEST_WORDS, flaw_of
from sweep.machine.ask_gpus import answer_of, from_mapping
from sweep.machine.environment import LOOPBACK
from sweep.machine.gpu_facts import GpuFacts, MachineGpus
from sweep.schema.resources import MOST_AUTO_CPUS, Resources

ANSWER_SECONDS = 25
CONNECT_SECONDS = 5
NODE_GROUP = "ray.io/node-group"
"""Ray's label of a node that an autoscaler has started: that of `ray up`, or KubeRay."""

Node = Mapping[str, Any]
"""A node as `ray.nodes` describes it."""

ASK = """
import json, logging, sys
import ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
    answer = {"nodes": ray.nodes()}
except Exception as error:
    answer = {"error": (str(error).strip().splitlines() or [type(error).__name__])[0]}
print("ANSWER " + json.dumps(answer), flush=True)
"""


def ask_cluster(address: str) -> list[Node]:
    """The nodes of the cluster at `address` that are alive.

    Raises:
        UserError: there is no cluster that can be attached to.
    """
    _check_reachable(address)
    command = [sys.executable, "-P", "-c", ASK, address]  # -P: a folder here that is called ray is not Ray
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{_unreachable(address, f'no answer within {ANSWER_SECONDS} s')}; accepted: host:port of a head that "
            f"`ray start` has started{_if_loopback(address)}, or auto on one of its nodes"
        ) from None
    answers = [line for line in asked.stdout.splitlines() if line.startswith("ANSWER ")]
    if not answers:
        words = asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"]
        raise UserError(_unreachable(address, words[-1]))
    answer = json.loads(answers[-1].removeprefix("ANSWER "))
    if "error" in answer:
        raise UserError(_unreachable(address, answer["error"]))
    return [node for node in answer["nodes"] if node["Alive"]]


def ask_gpu_nodes(address: str, say: Callable[[str], None]) -> dict[str, MachineGpus | None]:
    """What a GPU of each kind of node is, by the kind's name; None for a kind whose GPUs are all taken.

    Raises:
        UserError: the cluster does not answer any more.
    """
    script = "from sweep.cluster.gpu_nodes import tell_gpu_nodes; tell_gpu_nodes(sys.argv[2])"
    told = answer_of(script, [address], "GPUs of the cluster", say)
    return {kind: None if gpu is None else from_mapping(gpu) for kind, gpu in told.items()}


def usable_kinds(
    seen: Mapping[str, MachineGpus | None], grows: bool, say: Callable[[str], None]
) -> tuple[tuple[GpuFacts, ...], bool]:
    """A GPU of each kind of node that could be asked, and whether these are all kinds that are there.

    Args:
        seen: what `ask_gpu_nodes` returned.
        grows: whether an autoscaler may start further nodes.
        say: told of each kind that nobody could ask.

    Raises:
        UserError: torch on some node can't use its GPUs.
    """
    for kind, told in seen.items():
        if told is None:
            say(f"nodes with {kind}: no GPU is free there, so none was asked (memory.device declares its memory)")
        elif flaw := flaw_of(told):
            raise UserError(f"resources.gpu: on nodes with {kind} {flaw}")
        elif not told.gpus:
            raise UserError(
                f"resources.gpu: on nodes with {kind} torch {told.torch} finds no GPU; accepted: a CUDA build of "
                "torch and NVIDIA's driver there, or resources.gpu: 0"
            )
    if grows:
        say("nodes that the autoscaler starts later are not asked what their GPUs can do: they should be like these")
    asked = [told for told in seen.values() if told is not None]
    return tuple(dict.fromkeys(gpu for told in asked for gpu in told.gpus)), len(asked) == len(seen)


def may_grow(nodes: Sequence[Node]) -> bool:
    """Whether an autoscaler may start further nodes."""
    return any(NODE_GROUP in (node.get("Labels") or {}) for node in nodes)


def _unreachable(address: str, why: str) -> str:
    return f"--address {address}: no Ray cluster can be reached there ({why[:LONGEST_WORDS]})"


def _check_reachable(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # "auto"
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(_unreachable(address, reason)) from None


def _if_loopback(address: str) -> str:
    if address.removeprefix("ray://").rpartition(":")[0] not in LOOPBACK and address != "auto":
        return ""
    return " without --node-ip-address=127.0.0.1"


def settled(nodes: Sequence[Node], wanted: Resources) -> Resources:
    """The wanted resources with a number of CPUs.

    `auto` becomes what the largest node with enough GPUs has, MOST_AUTO_CPUS at most. A cluster without such nodes, as
    a head alone, will start some: then it becomes MOST_AUTO_CPUS.
    """
    least = wanted.least_gpu
    there = [node["Resources"].get("CPU", 0) for node in nodes if node["Resources"].get("GPU", 0) >= least]
    return wanted.with_cpus(max(there, default=0) or MOST_AUTO_CPUS)


def await_resources(nodes: Sequence[Node], wanted: Resources) -> str | None:
    """A remark if trials must wait until the cluster has grown; None if a node has what a trial asks for.

    Raises:
        UserError: no node has what a trial asks for, and no autoscaler will start one.
    """
    wanted = settled(nodes, wanted)
    cpus = float(wanted.cpu)
    least = wanted.least_gpu
    of_nodes = [node["Resources"] for node in nodes]
    if any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= least for node in of_nodes):
        return None
    if may_grow(nodes):
        return (
            f"no node has {cpus:g} CPU and {least:g} GPU yet: trials wait until the cluster has grown "
            "(if it can't, stop and --set resources)"
        )
    key, much = ("resources.cpu", f"{cpus:g}") if least == 0 else ("resources", f"{cpus:g} CPU, {least:g} GPU")
    there = dict.fromkeys(f"{node.get('CPU', 0):g} CPU, {node.get('GPU', 0):g} GPU" for node in of_nodes)
    raise UserError(
        f"{key}: {much} is more than any node of the cluster has, and no autoscaler starts others; "
        f"its nodes have {'; '.join(list(there)[:4])}"
    )
