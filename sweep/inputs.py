"""What every trial of a sweep shares, as paths and small values. They are cheap to send; a worker maps the files."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from basis.directory import base_responses_file
from basis.stored.contents import Content
from model.weight_files import WeightsError, weight_files
from sweep.data.rendered_prompts import Prompt
from sweep.hub.fetch import Snapshot, fetch_model, fetch_tokenizer
from sweep.judge.reward_model import Reading
from sweep.memory.packing import Packing
from sweep.provenance.hashes import Provenance
from sweep.schema.hub_names import HubName
from sweep.schema.reward import RewardPart


@dataclass(frozen=True)
class Process:
    """What trials take from the user's process, since a Ray of our own starts in private: see `sweep.cluster.privacy`.

    Attributes:
        umask: of the user, for the files that trials write.
        folder: the working directory, from which relative paths lead.
    """

    umask: int
    folder: Path

    def take_over(self) -> None:
        """Give this process that umask and that working directory."""
        os.umask(self.umask)
        os.chdir(self.folder)


@dataclass(frozen=True)
class StoredSweep:
    """Where the trials of a cluster keep results whose nodes share no folder; see `sweep.storing.on_node`.

    Attributes:
        address: in object storage, as the user typed it.
        contents: what the store has of tokens and weights, by the folder that they lie in on the driver's machine.
    """

    address: str
    contents: Mapping[str, Content]


@dataclass(frozen=True)
class SweepInputs:
    """Made once per sweep and base model by `PreparedSweep.inputs`, handed to every trial."""

    experiment_dir: Path
    base_model: str
    tokenizer: str
    train_tokens: Path
    test_tokens: Path
    prompts: tuple[Prompt, ...]
    reward: RewardPart
    cpus: float
    packing: Packing
    checkpoint_seconds: float
    provenance: Provenance
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    """Which of the folders above come from the hub."""
    validation_tokens: Path | None = None
    """What settings are chosen by, where they are."""
    general_tokens: Path | None = None
    """What forgetting is measured on, where it is."""
    began: float = 0.0
    """When this run of the sweep began, in seconds since the epoch. Attempts that ran out of memory before do not
    count: a sweep that is continued may have more memory."""
    process: Process | None = None
    """What trials take over from the driver's process; None: they run as they are started."""
    reading: Reading | None = None
    """How the judge reads pairs, as found before anything was trained; without it that is found on loading it."""
    model: str | None = None
    """What trials say of their base model: its label, or None where there is but one."""

    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the driver's libraries; a node must have the same (see `sweep.worker.versions`)."""
    stored: StoredSweep | None = None
    """Where trials keep results that share no folder with the driver; None: in `experiment_dir`."""

    @property
    def base_answers(self) -> Path:
        """The file of the base model's answers."""
        return self.experiment_dir / base_responses_file(self.model)


def on_this_node(inputs: SweepInputs) -> SweepInputs:
    """The inputs with folders that are there: a node of a cluster that does not see the driver's cache of the hub
    brings the same commits into its own.

    Raises:
        UserError: a commit that can't be had from here.
    """
    judge = inputs.reward.model
    elsewhere: dict[str | None, str] = {}
    for folder, snapshot in inputs.snapshots.items():
        has_weights = folder in (inputs.base_model, judge)
        if not _is_whole(snapshot.folder, has_weights):
            fetch = fetch_model if has_weights else fetch_tokenizer
            elsewhere[folder] = str(fetch(HubName(snapshot.name, snapshot.commit), snapshot.name).folder)
    if not elsewhere:
        return inputs
    return replace(
        inputs,
        base_model=elsewhere.get(inputs.base_model, inputs.base_model),
        tokenizer=elsewhere.get(inputs.tokenizer, inputs.tokenizer),
        reward=inputs.reward.model_copy(update={"model": elsewhere.get(judge, judge)}),
    )


def _is_whole(folder: Path, has_weights: bool) -> bool:
    """Whether a folder is there with all its files; a download that broke off leaves some."""
    if not has_weights:
        return folder.is_dir()
    try:
        return bool(weight_files(folder))
    except (WeightsError, OSError):
        return False
