"""What a trial keeps when memory runs out, and how it is tried once more."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from transformers import PretrainedConfig

from basis.directory import OUT_OF_MEMORY_FILE
from basis.files import write_text
from basis.metrics import with_present_names
from basis.units import show_bytes
from sweep.memory.device import Device
from sweep.memory.plan import MemoryPlan, best_plan
from sweep.trial.config import TrialConfig

MOST_ATTEMPTS = 2
"""How often a trial may run out of memory in one run of the sweep."""

TRAINING, JUDGING = "training", "judging"


class OutOfMemoryError(Exception):
    """A trial ran out of memory; the message says how much was predicted, reached and allowed."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a trial that ran out of memory.

    Attributes:
        during: TRAINING or JUDGING.
        micro_batch, activation_checkpointing: how its training is executed.
        predicted_bytes: the predicted peak, if there was a prediction; judging has none.
        reached_bytes: what tensors had at most, with the allocation that failed.
        asked_bytes: what that allocation asked for; 0 if nobody says.
        limit_bytes: what the process was allowed, other things than tensors included; None without a limit of ours.
        at: when, in seconds since the epoch.
    """

    during: str
    micro_batch: int
    activation_checkpointing: bool
    predicted_bytes: int | None
    reached_bytes: int
    asked_bytes: int
    limit_bytes: int | None
    at: float = field(default_factory=time.time)

    def __str__(self) -> str:
        limit = f"; the process is allowed {show_bytes(self.limit_bytes)}" if self.limit_bytes is not None else ""
        if self.during == JUDGING:
            return f"in judging: reached {show_bytes(self.reached_bytes)}{limit}"
        predicted = show_bytes(self.predicted_bytes) if self.predicted_bytes is not None else "nothing"
        checkpointed = ", activation checkpointing" if self.activation_checkpointing else ""
        return (
            f"in {self.during} with micro-batch {self.micro_batch}{checkpointed}: "
            f"predicted {predicted}, reached {show_bytes(self.reached_bytes)}{limit}"
        )


def smaller_plan(config: TrialConfig, shape: PretrainedConfig, device: Device, attempt: Attempt) -> MemoryPlan:
    """How to try once more: with half the micro-batch or less, in half of the memory that the attempt reached.

    Gaps between tensors, and memory that holds no tensors, took their part of the rest.
    """
    halved = config.model_copy(
        update={
            "micro_batch": max(1, attempt.micro_batch // 2),
            "activation_checkpointing": attempt.activation_checkpointing or attempt.micro_batch == 1,
        }
    )
    return best_plan(halved, shape, device, attempt.reached_bytes // 2)


def read_attempts(folder: Path, since: float = 0.0) -> list[Attempt]:
    """The attempts at the trial of this directory that ran out of memory since some moment, oldest first."""
    path = folder / OUT_OF_MEMORY_FILE
    parsed = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    attempts = [Attempt(**with_present_names({**values})) for values in parsed]
    return [attempt for attempt in attempts if attempt.at >= since]


def is_last_attempt(folder: Path, since: float) -> bool:
    """Whether a trial that runs out of memory now is not tried again, after its attempts since some moment."""
    return len(read_attempts(folder, since)) + 1 >= MOST_ATTEMPTS


def add_attempt(folder: Path, attempt: Attempt) -> None:
    """Keep an attempt that ran out of memory."""
    attempts = [*read_attempts(folder), attempt]
    write_text(folder / OUT_OF_MEMORY_FILE, json.dumps([asdict(attempt) for attempt in attempts], indent=2))
