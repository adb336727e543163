"""Runs Ray for one sweep: a Ray of our own on this machine's loopback, or attached to a running cluster."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import ray

from basis.errors import RayDiedError, UserError, first_line
from basis.packages import PACKAGES, ROOT
from sweep.cluster.environment import TMPDIR, sent_along
from sweep.cluster.privacy import kept_private, started_privately
from sweep.cluster.probe import await_resources, settled
from sweep.cluster.resources import check_gpus
from sweep.cluster.watch import ray_watched
from sweep.machine.apart import Work
from sweep.machine.environment import ctrl_c_deferred, handlers_restored
from sweep.machine.gpu_facts import GpuFacts, gpu_facts
from sweep.machine.hardware import allowed_cpus, free_memory_bytes
from sweep.memory.device import Device
from sweep.schema.places import PRESETS
from sweep.schema.resources import Resources

OBJECT_STORE_BYTES = 256 * 2**20
"""Size of Ray's object store. Configs and small values need no more; tokens and weights are mapped from disk."""

LOOK_SECONDS = 90
"""How long we wait for a GPU to tell its memory. A worker with torch needs up to half a minute to start."""


@contextmanager
def ray_session(
    address: str | None, dashboard: bool, memory_bytes: int | None = None, work: Work | None = None
) -> Iterator[str | None]:
    """Run Ray for the duration of a `with` block; yields the dashboard's address, if there is one.

    Args:
        address: of a cluster, such as "auto" or "host:6379"; its nodes get this project's code. None: a Ray of our own
            on this machine.
        dashboard: whether Ray's dashboard is started.
        memory_bytes: how much of this machine's memory the trials of a Ray of our own may share. What is free is the
            most, and is taken for None.
        work: the process that runs only this sweep, if there is one. Ray's words are then kept from the terminal, and
            the death of Ray ends that process.

    Raises:
        UserError: the cluster can't be reached.
        RayDiedError: Ray can't start here.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # prints a failed trial's traceback; error.txt has it
    with handlers_restored(), kept_private(address), work.libraries_aside() if work else nullcontext():
        try:
            with ray_watched(work) if work and address is None else nullcontext():
                with handlers_restored(), ctrl_c_deferred():  # Ray takes SIGTERM for itself
                    context = _start(dashboard, memory_bytes) if address is None else _attach(address)
                yield f"http://{context.dashboard_url}" if context.dashboard_url else None
        except SystemExit:
            raise KeyboardInterrupt from None  # what Ray makes of a SIGTERM while it starts
        finally:
            ray.shutdown()


def _start(dashboard: bool, memory_bytes: int | None) -> Any:
    """Start a Ray of our own, with the CPUs that this process may use."""
    free, began = free_memory_bytes(), time.time()
    try:
        with started_privately():
            return ray.init(
                address="local",
                num_cpus=allowed_cpus(),
                include_dashboard=dashboard,
                dashboard_host="127.0.0.1",
                object_store_memory=OBJECT_STORE_BYTES,
                _memory=min(memory_bytes or free, free),
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # a start that takes too long raises no narrower type
        logs = Path(os.environ.get(TMPDIR, "/tmp"), "ray", "session_latest", "logs")
        told = f"; its logs: {logs}" if logs.is_dir() and logs.stat().st_ctime > began else ""
        raise RayDiedError(f"it can't start on this machine ({first_line(error)}){told}") from error


def _attach(address: str) -> Any:
    """Attach to the cluster at `address`, whose nodes get our code."""
    try:
        with chdir(PRESETS):  # workers look first where Ray is attached from
            return ray.init(
                address=address,
                runtime_env={"py_modules": [str(ROOT / package) for package in PACKAGES], "env_vars": sent_along()},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        raise UserError(f"--address {address}: no Ray cluster can be reached there ({first_line(error)})") from None


def fit_resources(wanted: Resources, address: str | None) -> tuple[Resources, str | None]:
    """What one trial asks of the Ray that is running.

    On this machine alone `auto` means no GPU if there is none, so a spec that was written for a GPU machine runs on CPU
    as well. A cluster is asked for what is wanted, because it may grow.

    Args:
        wanted: the spec's.
        address: of the cluster; None: a Ray of our own.

    Returns:
        The resources, with a number of CPUs; and a remark if trials must wait for them, or run without a GPU.

    Raises:
        UserError: this machine has fewer GPUs than wanted, or no node of a cluster has what is wanted.
    """
    if address is not None:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        return settled(nodes, wanted), await_resources(nodes, wanted)
    [node] = _nodes()
    wanted, gpus = wanted.with_cpus(node.get("CPU", 0.0)), node.get("GPU", 0.0)
    check_gpus(wanted.least_gpu, int(gpus))
    if wanted.gpu and not gpus:
        return wanted.model_copy(update={"gpu": 0.0}), "no GPU here, so trials run on CPU"
    return wanted, None


def find_device(resources: Resources, declared_bytes: int | None) -> Device:
    """What a trial trains on: a GPU if it asks for one, or else the memory of the largest node.

    Args:
        resources: what `fit_resources` returned.
        declared_bytes: the memory that the spec says a device has. What the device has free is the most.

    Returns:
        The device with its memory in bytes; None where nobody knows that.

    Raises:
        UserError: trials shall share a GPU by their memory, and nobody says how much it has.
    """
    if not resources.gpu:
        largest = int(max(node.get("memory", 0) for node in _nodes()))
        return Device("cpu", min(declared_bytes or largest, largest))
    gpu = None
    if any(node.get("GPU", 0) for node in _nodes()):
        try:
            gpu = ray.get(_look_at_gpu.remote(), timeout=LOOK_SECONDS)
        except ray.exceptions.GetTimeoutError:
            gpu = None  # all GPUs are taken by others
    capacity_bytes = gpu.free_bytes if gpu else None
    if resources.packs and declared_bytes is None and capacity_bytes is None:
        raise UserError(
            f"resources.gpu: {resources.gpu} needs to know the memory of a GPU, and none can be asked; accepted: "
            "memory.device with it, such as 80GiB, or resources.gpu: 1"
        )
    known = [size for size in (declared_bytes, capacity_bytes) if size is not None]
    return Device("cuda", min(known, default=None), (gpu,) if gpu else ())


@ray.remote(num_cpus=0, num_gpus=1, max_calls=1)  # type: ignore[untyped-decorator]  # its process and CUDA context end
def _look_at_gpu() -> GpuFacts | None:
    """The GPU that this task was given; None if torch finds no GPU."""
    import torch

    return gpu_facts() if torch.cuda.is_available() else None


def _nodes() -> list[dict[str, float]]:
    """The resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
