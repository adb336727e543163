"""The parts of a spec that say what a trial may use: `resources`, `memory`, and with `hang` how much patience."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ByteSize, Field, field_validator, model_validator

from basis.errors import problem, shown
from sweep.trial.part import LARGEST, AcceptedWords, Part

LEAST_CPU, MOST_CPUS, MOST_AUTO_CPUS = 0.01, 10_000, 4
"""Of one trial. `auto` takes no more than the last, since GPT-2's steps gain little beyond."""

GPU_WORDS = "auto, share, 0, 1 or a fraction"
"""What can be typed for `gpu`."""


class Resources(Part):
    """What one trial asks of Ray. On a machine without a GPU, `auto` and `share` run on CPU; a number is refused."""

    cpu: float | Literal["auto"] = Field(
        1.0, description=f"CPUs per trial. auto: as many as the machine or node has, at most {MOST_AUTO_CPUS}."
    )
    gpu: Annotated[float | Literal["auto", "share"], AcceptedWords(GPU_WORDS)] = Field(
        0.0,
        description="How much of a GPU each trial gets. auto: trials share one where that pays. share: they share it "
        "as far as their predicted memory allows. Both take none on a machine without a GPU.",
    )

    @field_validator("cpu", mode="before")
    @classmethod
    def _cpus_or_auto(cls, cpu: Any) -> Any:
        number = isinstance(cpu, int | float) and not isinstance(cpu, bool)
        if cpu != "auto" and (not number or not LEAST_CPU <= cpu <= MOST_CPUS):
            raise ValueError(f"accepted: auto, or a number from {LEAST_CPU} to {MOST_CPUS}")
        return float(cpu) if number else cpu

    def with_cpus(self, there: float) -> "Resources":
        """These resources with `cpu` as a number, on a machine that has `there` CPUs."""
        cpu = min(MOST_AUTO_CPUS, there) if self.cpu == "auto" else self.cpu
        return self.model_copy(update={"cpu": float(cpu)})

    @property
    def packs(self) -> bool:
        """Whether each trial's share of a GPU follows from its plan, and is no number of the spec."""
        return isinstance(self.gpu, str)

    @property
    def least_gpu(self) -> float:
        """How much of a GPU a node must have to run a trial; 0 where it may run without one."""
        return 0.0 if isinstance(self.gpu, str) else self.gpu

    @field_validator("gpu", mode="before")
    @classmethod
    def _one_gpu_at_most(cls, gpu: Any) -> Any:
        number = isinstance(gpu, int | float) and not isinstance(gpu, bool)
        if gpu not in ("auto", "share") and (not number or not 0 <= gpu <= 1):
            more = " a trial trains on one GPU;" if number and gpu > 1 else ""
            raise ValueError(f"{shown(gpu)} is not accepted;{more} accepted: {GPU_WORDS}")
        return float(gpu) if number else gpu


def _with_unit(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST
    if value is None or whole:
        return value
    if not isinstance(value, str) or not re.fullmatch(
        r"\s*[0-9]{1,15}(\.[0-9]{1,15})?\s*([kmgt]i?)?b\s*", value.lower()
    ):
        raise ValueError("accepted: a size above zero with its unit, such as 6GiB or 500MB")
    return value


Bytes = Annotated[ByteSize, BeforeValidator(_with_unit), Field(gt=0)]


class MemoryPart(Part):
    """How memory decides on the trials. A device is one GPU, or the whole machine for trials that run on CPU."""

    budget: Bytes | None = Field(
        None,
        description="Most memory that a trial may take at its peak; its batch is divided and blocks are computed "
        "again until it fits. null: what the device has free.",
    )
    device: Bytes | None = Field(
        None, description="Memory that a device offers, at most what it has free. null: what it has free."
    )
    limit: Bytes | None = Field(
        None, description="Memory at which a trial's process runs out of it. null: at the trial's share of the device."
    )


class HangPart(Part):
    """When a trial that does not report is said to hang, and what is done about it."""

    minutes: float | None = Field(
        None,
        gt=0,
        description="Minutes without a report after which a trial hangs. null: ten times the trial's longest wait so "
        "far, at least 10 minutes.",
    )
    retry: bool = Field(
        False,
        description="true: a trial that hangs is ended and started again from its checkpoint, at most `max_failures` "
        "times; `minutes` must be given. false: it is only named.",
    )

    @model_validator(mode="after")
    def _retry_has_a_limit(self) -> "HangPart":
        if self.retry and self.minutes is None:
            raise problem("minutes", "missing; retry: true needs the minutes, for nobody knows how long judging takes")
        return self
