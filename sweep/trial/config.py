"""TrialConfig: everything that defines one trial, as one frozen, flat, validated value."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from basis.errors import problems, refused, shown
from basis.fields import (
    BETAS_DEFAULTS,
    DEPENDENT_FIELDS,
    LORA_DEFAULTS,
    MOMENTUM_DEFAULTS,
    Method,
    Optimizer,
    Precision,
    Scaling,
    Schedule,
    Target,
    TrainedGroup,
    applies,
    arm_label,
    names_with,
    owner_of,
)
from basis.stages import Stage
from sweep.trial.part import Count

MOST_TOKENS_PER_STEP = 2**26
"""The largest language models take a quarter of it; their numbers alone fill half a gigabyte."""

SWITCHES = ("tie_head", "compile", "activation_checkpointing")


class TrialConfig(BaseModel):
    """One SFT run. Fields that a method or an optimizer does not use are None, never a value without effect.

    Raises (as every pydantic model does) ValidationError for an unknown field, a wrong type or value, a LoRA field
    under `method: full`, a missing rank under `method: lora`, and momentum or betas under an optimizer without them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Method
    rank: Count | None = Field(None, le=2**16, description="LoRA rank r; None under method full")
    alpha: float | None = Field(None, gt=0, description="LoRA's numerator of the scaling")
    scaling: Scaling | None = Field(None, description="what an adapter's product is multiplied by; LoRA's or rsLoRA's")
    b_lr_ratio: float | None = Field(None, gt=0, description="learning rate of B over that of all else; LoRA+ above 1")
    targets: tuple[Target, ...] | None = Field(None, min_length=1, description="projections that get an adapter")
    also_train: tuple[TrainedGroup, ...] | None = Field(None, description="what trains besides the adapters")
    tie_head: StrictBool = Field(True, description="false: the head starts as a copy of the embedding, a weight apart")

    optimizer: Optimizer
    lr: float = Field(gt=0, description="peak learning rate")
    momentum: float | None = Field(None, ge=0, lt=1)
    betas: tuple[float, float] | None = None
    weight_decay: float = Field(0.0, ge=0)
    schedule: Schedule = "constant"
    warmup_steps: int = Field(0, ge=0)
    clip_norm: float | None = Field(None, gt=0, description="largest norm of the whole gradient")

    steps: Count = Field(description="optimizer steps")
    batch_size: Count = Field(description="windows per optimizer step")
    micro_batch: Count | None = Field(
        None,
        description="most windows per forward pass; null: as memory permits; never over 256, nor over 65,536 tokens",
    )
    block_size: Count = Field(description="tokens per window")
    precision: Precision = "fp32"
    compile: StrictBool = Field(False, description="have torch.compile fuse each block; half a minute per trial")
    activation_checkpointing: StrictBool = Field(
        False, description="blocks keep their input alone and are computed again in the backward pass"
    )
    dropout: float = Field(0.0, ge=0, lt=1)

    test_every: Count = Field(description="steps between reports and evaluations")
    test_windows: Count = Field(description="fixed test windows per evaluation")
    evaluate_on: Stage = Field(
        Stage.PLAIN,
        description="which windows the reports are about; only after training on validation, test is used once",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of adapters, dropout and train windows")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """Defaults that depend on other fields. What does not apply is refused in `_belongs`, not dropped."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for field, value in values.items():
            if (
                isinstance(value, bool) and field in cls.model_fields and field not in SWITCHES
            ):  # pydantic would take true for the number 1
                raise refused(field, value)
        if values.get("method") == "lora":
            for field, default in LORA_DEFAULTS.items():
                if values.get(field) is None:
                    values[field] = default
        for field, defaults in (("momentum", MOMENTUM_DEFAULTS), ("betas", BETAS_DEFAULTS)):
            if values.get(field) is None:
                values[field] = defaults.get(str(values.get("optimizer")))  # type: ignore[attr-defined]
        return values

    @model_validator(mode="after")
    def _belongs(self) -> "TrialConfig":
        if found := list(self._misfits()):
            raise problems(found)
        return self

    def _misfits(self) -> Iterator[tuple[str, str]]:
        """Fields that don't go with others, and why."""
        if self.method == "lora" and self.rank is None:
            yield "rank", "missing; method 'lora' needs a rank of 1 or more"
        for field in DEPENDENT_FIELDS:
            value = getattr(self, field)
            if value is not None and not applies(field, self.__dict__):
                yield field, f"{shown(_plain(value))} is accepted under {_owners(field)} only"
        if self.betas is not None and not all(0 <= beta < 1 for beta in self.betas):
            yield "betas", f"{_plain(self.betas)} is not accepted; both lie in [0, 1)"
        tied_head = "head" in (self.also_train or ()) and self.tie_head
        if tied_head and "embeddings" not in (self.also_train or ()):
            yield "also_train", "'head' is tied to the embedding; add 'embeddings' or set tie_head: false"
        if self.optimizer == "muon" and self.method == "lora" and self.targets == ("head",):
            yield "targets", "['head'] is not accepted under optimizer 'muon'; muon needs a hidden layer's target"
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            yield "micro_batch", f"{self.micro_batch} is more than batch_size {self.batch_size}"
        if self.warmup_steps > self.steps:
            yield "warmup_steps", f"{self.warmup_steps} is more than steps {self.steps}"
        if self.batch_size * self.block_size > MOST_TOKENS_PER_STEP:
            windows = f"{self.batch_size} windows of block_size {self.block_size}"
            tokens = f"{self.batch_size * self.block_size:,} tokens a step"
            yield "batch_size", f"{windows} are {tokens}; accepted: {MOST_TOKENS_PER_STEP:,} at most"

    @property
    def label(self) -> str:
        """Short name of the arm, such as "lora r10 adamw"."""
        return arm_label(self.model_dump())

    @property
    def name(self) -> str:
        """Name of the trial and of its directory: readable, and different for different configs."""
        digest = hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
        return f"{self.label.replace(' ', '-')}-lr{self.lr:g}-s{self.seed}-{digest[:6]}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _owners(field: str) -> str:
    """The methods or optimizers that have a field, such as "method 'lora'" or "optimizers adamw, muon"."""
    names = names_with(field)
    return f"{owner_of(field)} {names[0]!r}" if len(names) == 1 else f"{owner_of(field)}s {', '.join(names)}"
