"""Asks the GPUs of a cluster what they can do. The process that runs this attaches to the cluster, and ends with it."""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import chdir
from dataclasses import asdict
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from basis.packages import PACKAGES, ROOT
from sweep.cluster.environment import sent_along
from sweep.machine.ask_gpus import ANSWER
from sweep.machine.gpu_facts import machine_gpus
from sweep.schema.places import PRESETS

START_SECONDS = 60
"""How long a node has to start a process without torch. One whose GPUs are all taken starts none."""
NODES_PER_KIND = 4
"""How many nodes of a kind are asked. The first whose GPU is free answers for all of them."""
ACCELERATOR = "accelerator_type:"
"""What the name of Ray's resource for the type of a node's GPUs begins with."""


class GpuHolder:
    """Holds one GPU of a node until it has told what that GPU is."""

    def started(self) -> bool:
        """Answers as soon as the GPU is held."""
        return True

    def gpu(self) -> dict[str, Any]:
        """What torch says of the GPU, as plain values."""
        return asdict(machine_gpus())


def tell_gpu_nodes(address: str) -> None:
    """Print what the GPUs of each kind of node are: by kind, with null for one whose GPUs are all taken."""
    with chdir(PRESETS):  # workers look first where Ray is attached from
        ray.init(
            address=address,
            runtime_env={"py_modules": [str(ROOT / package) for package in PACKAGES], "env_vars": sent_along()},
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    told = {name: _gpu_of(ids) for name, ids in gpu_kinds(ray.nodes()).items()}
    print(ANSWER + json.dumps(told), flush=True)


def gpu_kinds(nodes: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The ids of the living nodes with GPUs, by their kind: alike in type and number of GPUs and in CPUs."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        has = node["Resources"]
        if node["Alive"] and has.get("GPU", 0) >= 1:
            types = [name.removeprefix(ACCELERATOR) for name in sorted(has) if name.startswith(ACCELERATOR)]
            kinds[f"{' '.join(types) or 'GPU'} x {has['GPU']:g}, {has.get('CPU', 0):g} CPUs"].append(node["NodeID"])
    return dict(kinds)


def _gpu_of(node_ids: list[str]) -> dict[str, Any] | None:
    """What a GPU of one of these nodes is; None if each has none free."""
    holder = ray.remote(num_cpus=0, num_gpus=1)(GpuHolder)
    holders = [
        holder.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote()
        for node_id in node_ids[:NODES_PER_KIND]
    ]
    by_start = {one.started.remote(): one for one in holders}
    started, _ = ray.wait(list(by_start), num_returns=1, timeout=START_SECONDS)
    told: dict[str, Any] | None = ray.get(by_start[started[0]].gpu.remote()) if started else None
    for one in holders:
        ray.kill(one)
    return told
