"""What share of a device each trial asks for, by its plan: as many trials run side by side as the memory allows.

Ray counts shares and enforces nothing; a trial's process is kept to its share by `model.memory_limit`.
"""

import math
from dataclasses import dataclass, replace

from transformers import PretrainedConfig

from model.model_sizes import model_sizes
from sweep.memory.device import Device
from sweep.memory.plan import MemoryPlan
from sweep.schema.resources import Resources

MARGIN = 1.05
"""What a trial asks for over its predicted peak. It covers errors of prediction and blocks that can't be used."""

PROCESS_BYTES = {"cpu": 512 * 2**20, "cuda": 640 * 2**20}
"""What a trial's process takes beside tensors: Python with its libraries, or a CUDA context with loaded kernels."""

CPU_UNIT_BYTES = 256 * 2**20
"""Trials that ask for the same share can follow each other in one worker, which saves ten seconds."""

GPU_UNITS = 100
"""Shares of a GPU are rounded up to a hundredth of it, for the same reason."""


@dataclass(frozen=True)
class Packing:
    """How trials share one device.

    Attributes:
        device: what they share.
        judging_bytes: what judging takes beside the trained model, which a share must cover as well.
        limit_bytes: where a trial's process runs out of memory whatever its share; None: at its share.
    """

    device: Device
    judging_bytes: int = 0
    limit_bytes: int | None = None

    def on(self, kind: str | None) -> "Packing":
        """How trials share a GPU of that kind, by its name; None, or one that nobody knows: of any kind."""
        of_kind = None if kind is None else self.device.kinds.get(kind)
        return replace(self, device=of_kind) if of_kind else self

    def demand_bytes(self, plan: MemoryPlan) -> int:
        """Bytes of the device that a trial needs to itself, and no more than the device has.

        A trial whose memory nobody can predict gets all of it.
        """
        if plan.predicted is None:
            return self.device.capacity_bytes or PROCESS_BYTES[self.device.type]
        peak = max(plan.predicted.total, plan.predicted.weights + self.judging_bytes)
        demand = math.ceil(peak * MARGIN) + PROCESS_BYTES[self.device.type]
        if self.device.type == "cpu":
            demand = math.ceil(demand / CPU_UNIT_BYTES) * CPU_UNIT_BYTES
        return demand if self.device.capacity_bytes is None else min(demand, self.device.capacity_bytes)

    def gpu_share(self, plan: MemoryPlan) -> float:
        """The fraction of a GPU that a trial needs."""
        assert self.device.capacity_bytes is not None  # known before the first trial, see `find_device`
        return min(1.0, math.ceil(GPU_UNITS * self.demand_bytes(plan) / self.device.capacity_bytes) / GPU_UNITS)

    def cap_bytes(self, gpu_share: float) -> int | None:
        """Where the process of a trial with this share runs out of memory; None: nowhere.

        On a CPU that is the whole capacity, which keeps the system's own out-of-memory killer away; what a process
        takes there beside tensors is too uncertain for a tight cap.
        """
        capacity = self.device.capacity_bytes
        if self.limit_bytes is not None or capacity is None:
            return self.limit_bytes
        share = min(1.0, gpu_share) if self.device.type == "cuda" else 1.0
        return max(0, math.floor(share * capacity) - PROCESS_BYTES[self.device.type])


def budget_on(device: Device, resources: Resources, asked_bytes: int | None) -> int | None:
    """The most bytes that a trial may be predicted to take: the spec's budget, and no more than a trial can get.

    It is None if the spec has no budget and the device's memory is unknown. A trial with a fixed fraction of a GPU gets
    that fraction of its memory.
    """
    if device.capacity_bytes is None:
        return asked_bytes
    share = resources.least_gpu if device.type == "cuda" and not resources.packs else 1.0
    room = math.floor((share * device.capacity_bytes - PROCESS_BYTES[device.type]) / MARGIN)
    return max(0, room) if asked_bytes is None else max(0, min(room, asked_bytes))


def judging_bytes(shape: PretrainedConfig, columns: int, reward_model_bytes: int) -> int:
    """Bytes that judging takes beside the trained model: a model in fp32 that answers, and the larger of its keys and
    values and the reward model.

    The model in fp32 is the base model, which the first trial judges, or a copy of a model that trained in bf16.
    Batches shrink where memory runs out (`sweep.worker.judging`), so one prompt is counted and not a batch.

    Args:
        columns: tokens of the longest prompt with its response.
        reward_model_bytes: weights of the reward model.
    """
    sizes = model_sizes(shape)
    cache_bytes = 4 * 2 * sizes.blocks * columns * sizes.key_width
    return 4 * sizes.parameters + max(cache_bytes, reward_model_bytes)
