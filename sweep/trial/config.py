"""TrialConfig: everything that defines one trial, as one frozen, flat, validated value."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator

from basis.errors import problems, refused, shown
from basis.fields import (
    ALL_LINEAR,
    BETAS_DEFAULTS,
    DEPENDENT_FIELDS,
    LORA_DEFAULTS,
    MAPPING_FIELDS,
    MOMENTUM_DEFAULTS,
    SCALING_OPTIMIZERS,
    LossOn,
    PackingChoice,
    Precision,
    PrecisionChoice,
    Scaling,
    Schedule,
    Target,
    TrainedGroup,
    applies,
    arm_label,
    default_of,
    identifying,
    names_with,
    owner_of,
)
from basis.methods import METHODS, Method, wrong_options
from basis.optimizers import FOR_HIDDEN_MATRICES, OPTIMIZER_WORDS, OPTIMIZERS, canonical, options_flaws, why_refused
from basis.stages import Stage
from sweep.trial.options import OptionsField
from sweep.trial.part import AcceptedWords, Count

MOST_TOKENS_PER_STEP = 2**26
"""The largest language models take a quarter of it; their numbers alone fill half a gigabyte."""

MOST_NAMED = 8
"""Methods or optimizers that a message names."""

LABEL_WORDS = "a label of letters, digits and . _ + -"

_TARGET_WORDS = (
    f"{', '.join(get_args(Target))}, {ALL_LINEAR}, or the name of a projection in the model's blocks, such as q_proj"
)
_MODULE = re.compile(r"[A-Za-z]\w*(\.\w+)*")


def _target(name: str) -> str:
    """A LoRA target; whether the model has a projection of that name is asked where the model is known."""
    known = (*get_args(Target), ALL_LINEAR)
    near = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.8)
    is_module = _MODULE.fullmatch(name) and re.search(r"[._\d]|^dense$", name) and name != "lm_head"
    if name in known or (is_module and not near):
        return name
    raise ValueError(f"accepted: {_TARGET_WORDS}{f'; did you mean {near[0]!r}?' if near else ''}")


TargetName = Annotated[str, AfterValidator(_target), AcceptedWords(_TARGET_WORDS)]

ModelLabel = Annotated[str, Field(max_length=60, pattern=r"^\w[\w.+-]*$"), AcceptedWords(LABEL_WORDS)]
"""What a base model is called among several: it begins the names of its trials' directories."""


def _optimizer(name: str) -> str:
    """The one name of an optimizer, by any that is known for it."""
    known = canonical(name)
    if reason := why_refused(known):
        raise ValueError(reason)
    return known


OptimizerName = Annotated[str, AfterValidator(_optimizer), AcceptedWords(OPTIMIZER_WORDS)]

MOST_OWNERS = 10
"""Methods or optimizers that a message lists."""

SWITCHES = ("tie_head", "compile", "activation_checkpointing")


class TrialConfig(BaseModel):
    """One SFT run. Fields that a method or an optimizer does not use are None, never a value without effect.

    Defaults that depend on the method or the optimizer stand in LORA_DEFAULTS, MOMENTUM_DEFAULTS and BETAS_DEFAULTS.

    Raises (as every pydantic model does) ValidationError for an unknown field, a wrong type or value, a LoRA field
    under `method: full`, a missing rank under `method: lora`, and momentum or betas under an optimizer without them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Method = Field(description="full trains every weight; the others train adapters, see Methods below.")
    rank: Count | None = Field(
        None,
        le=2**16,
        description="Rank of an adapter; of LoRA, r, the inner dimension of its product B A.",
    )
    alpha: float | None = Field(None, gt=0, description="LoRA's alpha: the numerator of `scaling`.")
    scaling: Scaling | None = Field(
        None, description="Factor of an adapter's product B A: alpha/r as in LoRA, or alpha/sqrt(r) as in rsLoRA."
    )
    b_lr_ratio: float | None = Field(
        None, gt=0, description="Learning rate of the adapters' B over that of all else. LoRA+ has it above 1."
    )
    targets: tuple[TargetName, ...] | None = Field(
        None,
        min_length=1,
        description="The projections of each block that get an adapter; head is the output layer. A projection's own "
        "name is accepted too, and all-linear for all of them.",
    )
    also_train: tuple[TrainedGroup, ...] | None = Field(
        None,
        description="The base weights that train beside the adapters. head needs embeddings beside it, or `tie_head: "
        "false`.",
    )
    peft: OptionsField | None = Field(None, description="Options of the method, by PEFT's own names for them.")
    tie_head: StrictBool = Field(
        True,
        description="true: the head is the embedding, one weight. "
        "false: the head starts as a copy of the embedding and is a weight of its own.",
    )
    model: ModelLabel | None = Field(
        None,
        description="Which of several base models is trained, by its label or name: where the spec's `model` is a "
        "list. Left out: each of them.",
    )

    optimizer: OptimizerName = Field(
        description="The optimizer. momentum and nesterov are SGD with momentum. All names stand below."
    )
    lr: float = Field(
        gt=0,
        description="Peak learning rate. `default` in a search stands for its documented range.",
    )
    momentum: float | None = Field(None, ge=0, lt=1, description="Momentum coefficient.")
    betas: tuple[float, float] | None = Field(
        None, description="AdamW's decay rates of the first and the second moment, each in [0, 1)."
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="Weight decay of all that trains. SGD adds it to the gradient, the others shrink weights by it; "
        "pytorch-optimizer's do as the table of optimizers says.",
    )
    optimizer_options: OptionsField | None = Field(
        None, description="Hyperparameters of the optimizer beyond the fields here, by its own names for them."
    )
    schedule: Schedule = Field(
        "constant",
        description="Learning rate after the warm-up: constant, or down to zero at the last step by half a cosine or a "
        "straight line.",
    )
    warmup_steps: int = Field(
        0, ge=0, description="Optimizer steps over which the learning rate rises linearly to `lr`; at most `steps`."
    )
    clip_norm: float | None = Field(
        None, gt=0, description="Largest L2 norm of the whole gradient, which is scaled down to it; null: no clipping."
    )

    steps: Count = Field(description="Length of the training, in optimizer steps.")
    batch_size: Count = Field(
        description=f"Windows per optimizer step; with `block_size` at most {MOST_TOKENS_PER_STEP:,} tokens."
    )
    micro_batch: Count | None = Field(
        None,
        description="Most windows per forward pass; gradients of a step's passes are accumulated. null: as memory "
        "permits. Never more than 256 windows or 65,536 tokens at once.",
    )
    block_size: Count = Field(description="Length of a window, in tokens; at most the model's positions.")
    loss_on: LossOn = Field(
        "auto",
        description="The tokens that the train loss is taken on: all, those of the last answer (completions), or of "
        "every assistant's turn but those in a field `prompt`. auto: all of texts, completions of pairs, the "
        "assistant's turns of conversations. Test and validation loss are taken on auto's tokens whatever trains.",
    )
    packing: PackingChoice = Field(
        "auto",
        description="The rows of a batch. stream: windows of all examples in a row. examples: whole examples beside "
        "each other, none of which sees another; one longer than a row is cut. none: one example a row. "
        "auto: stream of texts, else examples.",
    )
    precision: PrecisionChoice = Field(
        "fp32",
        description="Number format of the products in the forward and backward pass; what trains stays in fp32. auto: "
        "bf16 where every GPU of the sweep has it (or the CPU, without one), else fp32. tf32 keeps fp32 and multiplies "
        "with fewer digits. fp16 is for GPUs without bf16, and scales the loss.",
    )
    compile: StrictBool = Field(
        False, description="Have torch.compile fuse each block. Takes a C++ compiler, and half a minute per trial."
    )
    activation_checkpointing: StrictBool = Field(
        False, description="Keep each block's input alone and compute the block again in the backward pass."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout probability of the model; adapters have no other.")

    test_every: Count = Field(description="Optimizer steps between two reports, each with an evaluation.")
    test_windows: Count = Field(description="Windows of `block_size` tokens per evaluation, the same for all trials.")
    evaluate_on: Stage = Field(
        Stage.PLAIN,
        description="The windows of the evaluations; under 'validation, then test' the test windows are used once, at "
        "the end. It follows from `search`.",
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**32,
        description="Seed of adapters, dropout and train windows. It follows from `seeds`.",
    )

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
        if isinstance(values.get("optimizer"), str):
            values["optimizer"] = canonical(values["optimizer"])
        if values.get("targets") == ALL_LINEAR:
            values["targets"] = [ALL_LINEAR]
        if (method := values.get("method")) in get_args(Method):
            for field in LORA_DEFAULTS:
                if values.get(field) is None and applies(field, {"method": method}):
                    values[field] = default_of(field, method)
        for field, defaults in (("momentum", MOMENTUM_DEFAULTS), ("betas", BETAS_DEFAULTS)):
            if values.get(field) is None:
                values[field] = defaults.get(str(values.get("optimizer")))  # type: ignore[attr-defined]
        for field in MAPPING_FIELDS:
            if values.get(field) is None and applies(field, values):
                values[field] = {}
        return values

    @model_validator(mode="after")
    def _belongs(self) -> "TrialConfig":
        if found := list(self._misfits()):
            raise problems(found)
        return self

    def _misfits(self) -> Iterator[tuple[str, str]]:
        """Fields that don't go with others, and why."""
        if self.rank is None and applies("rank", self.__dict__):
            yield "rank", f"missing; method {self.method!r} needs a rank of 1 or more"
        if self.peft is not None and applies("peft", self.__dict__):
            yield from (("peft", wrong) for wrong in wrong_options(self.method, self.peft.plain()))
        if METHODS[self.method].peft and "head" in (self.targets or ()):
            yield "targets", f"'head' is accepted under method 'lora' only, not under {self.method!r}"
        for field in DEPENDENT_FIELDS:
            value = getattr(self, field)
            if value is not None and not applies(field, self.__dict__):
                yield field, f"{shown(_plain(value))} is {self._where_accepted(field)}"
        if self.betas is not None and not all(0 <= beta < 1 for beta in self.betas):
            yield "betas", f"{_plain(self.betas)} is not accepted; both lie in [0, 1)"
        tied_head = "head" in (self.also_train or ()) and self.tie_head
        if tied_head and "embeddings" not in (self.also_train or ()):
            yield "also_train", "'head' is tied to the embedding; add 'embeddings' or set tie_head: false"
        if self.optimizer in FOR_HIDDEN_MATRICES and self.targets == ("head",):
            needs = f"{self.optimizer} needs a hidden layer's target"
            yield "targets", f"['head'] is not accepted under optimizer {self.optimizer!r}; {needs}"
        options = self.optimizer_options if applies("optimizer_options", self.__dict__) else None
        for flaw in options_flaws(self.optimizer, options or {}):
            option, _, message = flaw.partition(": ")
            yield f"optimizer_options.{option}", message
        if self.weight_decay and OPTIMIZERS[self.optimizer].decay is None:
            yield "weight_decay", f"{self.weight_decay:g} is not accepted under {self.optimizer}, which takes none"
        if self.precision == "fp16" and self.optimizer not in SCALING_OPTIMIZERS:
            yield "precision", f"'fp16' is not accepted under optimizer {self.optimizer!r}; accepted: {_others('fp16')}"
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            yield "micro_batch", f"{self.micro_batch} is more than batch_size {self.batch_size}"
        if self.warmup_steps > self.steps:
            yield "warmup_steps", f"{self.warmup_steps} is more than steps {self.steps}"
        if self.batch_size * self.block_size > MOST_TOKENS_PER_STEP:
            windows = f"{self.batch_size} windows of block_size {self.block_size}"
            tokens = f"{self.batch_size * self.block_size:,} tokens a step"
            yield "batch_size", f"{windows} are {tokens}; accepted: {MOST_TOKENS_PER_STEP:,} at most"

    def _where_accepted(self, field: str) -> str:
        """Such as "accepted under optimizers adamw, muon only"; of many methods, which one does not have the field."""
        owner, names = owner_of(field), names_with(field)
        if len(names) > MOST_NAMED:
            return f"not accepted under {owner} {getattr(self, str(owner))!r}, which has no {field}"
        if len(names) > MOST_OWNERS:
            return f"accepted under {owner}s such as {', '.join(names[:3])} only"
        return (
            f"accepted under {owner} {names[0]!r} only"
            if len(names) == 1
            else (f"accepted under {owner}s {', '.join(names)} only")
        )

    @property
    def settled_precision(self) -> Precision:
        """What the step computes its products in.

        Raises:
            ValueError: the config still says `auto`, which is settled before trials are planned.
        """
        if self.precision == "auto":
            raise ValueError("precision: auto is settled before trials are planned, see sweep.space.precision")
        return self.precision

    @property
    def label(self) -> str:
        """Short name of the arm, such as "lora r10 adamw"."""
        return arm_label(self.model_dump())

    @property
    def name(self) -> str:
        """Name of the trial and of its directory: readable, and different for different configs."""
        return _name(self.model_dump_json())


@lru_cache(maxsize=2**14)
def _name(config_json: str) -> str:
    """The name by the config's JSON: a driver asks for each trial's a dozen times.

    By the config itself it can't be kept: those with an option of 1 and of 1.0 are equal, and their names are not.
    """
    config = json.loads(config_json)
    digest = hashlib.sha256(json.dumps(identifying(config), sort_keys=True).encode()).hexdigest()
    return f"{arm_label(config).replace(' ', '-')}-lr{config['lr']:g}-s{config['seed']}-{digest[:6]}"


def _others(precision: PrecisionChoice) -> str:
    return ", ".join(choice for choice in get_args(PrecisionChoice) if choice != precision)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
