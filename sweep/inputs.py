"""What every trial of a sweep shares, as paths and small values: cheap to send to a worker, mapped from disk there."""

from dataclasses import dataclass
from pathlib import Path

from sweep.hashes import Provenance
from sweep.judge import Reading
from sweep.packing import Packing
from sweep.spec import RewardPart


@dataclass(frozen=True)
class SweepInputs:
    """Made once per sweep by `sweep.prepare`, handed to every trial."""

    experiment_dir: Path
    base_model: str
    tokenizer: str
    train_tokens: Path
    test_tokens: Path
    prompts: tuple[str, ...]
    reward: RewardPart
    cpus: float
    packing: Packing
    checkpoint_seconds: float
    provenance: Provenance
    validation_tokens: Path | None = None
    """What settings are chosen by under search 'tuned'."""
    began: float = 0.0
    """When this run of the sweep began, in seconds since the epoch. That trials ran out of memory before is history: a
    sweep that is continued may have more of it."""
    reading: Reading | None = None
    """How the judge reads pairs, as found before anything was trained; without it that is found on loading it."""
