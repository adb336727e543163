"""How much of a GPU each trial gets: what the spec says, or what its memory takes and, under `auto`, its work.

Two trials that each keep a GPU busy take turns on it, and neither ends sooner for that. So under `auto` a trial gets at
least the share of a GPU that it keeps busy.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from transformers import PretrainedConfig

from sweep.memory.gpu_time import busy_share
from sweep.memory.packing import GPU_UNITS, Packing
from sweep.memory.plan import MemoryPlan
from sweep.schema.resources import Resources
from sweep.trial.config import TrialConfig


@dataclass(frozen=True)
class GpuSharing:
    """How the trials of a sweep share GPUs.

    Attributes:
        resources: what the spec asks for.
        packing: how trials share memory.
        shapes: of the base models, by what trials say of theirs.
    """

    resources: Resources
    packing: Packing
    shapes: Mapping[str | None, PretrainedConfig]

    def share(self, config: TrialConfig, plan: MemoryPlan) -> float:
        """How much of a GPU a trial with that plan gets: all of one where nobody knows how busy the trial keeps it."""
        if not self.resources.packs:
            return self.resources.least_gpu
        by_memory = self.packing.gpu_share(plan)
        if self.resources.gpu == "share":
            return by_memory
        busy = self._busy(config, plan)
        return 1.0 if busy is None else max(by_memory, math.ceil(GPU_UNITS * busy) / GPU_UNITS)

    def described(self, planned: Iterable[tuple[TrialConfig, MemoryPlan]]) -> str:
        """How trials share GPUs by `auto` or `share`, and why, in one line.

        Args:
            planned: the trials, one or more, with their plans.
        """
        trials = list(planned)
        units = min(round(GPU_UNITS * self.share(config, plan)) for config, plan in trials)
        at_once = GPU_UNITS // units
        how = "one trial at a time on each GPU" if at_once == 1 else f"up to {at_once} trials share a GPU"
        memory = _in_percent([self.packing.gpu_share(plan) for _, plan in trials])
        if self.resources.gpu == "share":
            return f"{how}: each is predicted to take {memory} of its memory"
        busy = [self._busy(config, plan) for config, plan in trials]
        known = [share for share in busy if share is not None]
        if len(known) < len(busy):
            names = ", ".join(gpu.name for gpu in self.packing.device.gpus) or "a GPU that can't be asked"
            return f"{how}: how busy each keeps {names} is not known (resources.gpu: share has memory alone decide)"
        binding = any(self.packing.gpu_share(plan) > share for (_, plan), share in zip(trials, known, strict=True))
        also = f" and to take {memory} of its memory" if binding else ""
        return f"{how}: each is predicted to keep it busy for {_in_percent(known)} of a step{also}"

    def _busy(self, config: TrialConfig, plan: MemoryPlan) -> float | None:
        return busy_share(config, self.shapes[config.model], plan.execution, self.packing.device.gpus)


def _in_percent(shares: list[float]) -> str:
    """The range of some shares, such as "12 to 30 %"."""
    low, high = round(100 * min(shares)), round(100 * max(shares))
    return f"{low} %" if low == high else f"{low} to {high} %"
