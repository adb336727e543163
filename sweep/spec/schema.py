"""SweepSpec: one sweep as its YAML file describes it, validated whole before anything starts."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    StrictBool,
    ValidationInfo,
    field_validator,
    model_validator,
)

from basis.errors import UserError, problem, problems, shown
from basis.metrics import REWARD_METRICS, Objective
from sweep.spec.hub_names import model_name
from sweep.spec.places import Beside, expand, looked_from, model_place
from sweep.spec.seeds import AdaptiveSeeds, Seed, Seeds
from sweep.spec.sources import LOCAL_FILES, source_files
from sweep.trial.config import TrialConfig
from sweep.trial.part import Count, Part

DEMO = "demo"
"""Stands for the embedded default wherever a model, data or prompts are named."""

STUDY = "study"
"""Stands for the 166 evaluation prompts of the published study (presets/prompts.csv)."""

MOST_TRIALS = 10_000
"""Of a sweep; each is validated before the first one starts."""

LARGEST = 2**63
"""No number of a spec is as large."""

LONGEST_NAME = 255
"""Letters of a sweep's name; a file's own name has no more."""

GPT2_NAMES = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")


def _beside(name: str, info: ValidationInfo) -> Sequence[Path]:
    """Folders of the spec files that give a name; of a spec that was kept nothing is looked for but as it says."""
    beside: Beside = info.context or {}
    return beside.get(name, ())


STUDY_DATA = {"train": "Anthropic/hh-rlhf:train", "test": "Anthropic/hh-rlhf:test", "exclude": "Dahoas/rm-static"}
"""The published study's set."""


def _collected(check: Callable[[str, ValidationInfo], str]) -> AfterValidator:
    """The check as a validator: pydantic collects ValueErrors."""

    def validate(value: str, info: ValidationInfo) -> str:
        try:
            return check(value, info)
        except UserError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(validate)


def _existing_folder(name: str, info: ValidationInfo) -> str:
    if name == DEMO:
        return name
    return model_place(name, _beside(name, info), ambiguous=info.context is not None)


def _existing_files(source: str, info: ValidationInfo) -> str:
    files = source_files(source, _beside(source, info))
    return source if files is None else os.path.abspath(expand(source))


def _existing_data(source: str, info: ValidationInfo) -> str:
    return source if source == DEMO else _existing_files(source, info)


def _existing_prompts(source: str, info: ValidationInfo) -> str:
    if source in (DEMO, STUDY):
        return source
    path = expand(source)
    if not os.path.isfile(path):
        looked = looked_from(source, _beside(source, info))
        raise UserError(f"no such file{looked}; accepted: 'study', 'demo', or a CSV file with a column 'prompt'")
    return str(path.resolve())


ModelFolder = Annotated[str, _collected(_existing_folder)]
DataSource = Annotated[str, _collected(_existing_data)]
ExcludeSource = Annotated[str, _collected(_existing_files)]
PromptsFile = Annotated[str, _collected(_existing_prompts)]


def with_revision(values: Any, key: str) -> Any:
    """A part of a spec whose `revision` beside a name on the hub, as Hugging Face writes it, has gone into the name."""
    if not isinstance(values, dict) or values.get("revision") is None:
        return values
    rest = {name: value for name, value in values.items() if name != "revision"}
    name, revision = rest.get(key), values["revision"]
    on_hub = model_name(name) if isinstance(name, str) and name != DEMO else None
    if on_hub is None or on_hub.revision:
        raise problem("revision", f"{revision!r} is accepted beside a name on the hub that has none, not {name!r}")
    pinned = str(on_hub.at(str(revision)))
    if model_name(pinned) is None:
        raise problem("revision", f"{revision!r} is not accepted; accepted: a branch, a tag or a commit")
    return {**rest, key: pinned}


class Shape(Part):
    """GPT-2 dimensions that replace those of the named model under `init: random`."""

    n_layer: Count | None = Field(None, le=1000)  # these bounds lie far above any GPT's; what lies above them overflows
    n_embd: Count | None = Field(None, le=2**17)
    n_head: Count | None = Field(None, le=2**12)
    n_positions: Count | None = Field(None, le=2**22)
    vocab_size: Count | None = Field(None, le=2**24)


class ModelPart(Part):
    """Which weights every trial starts from."""

    name: ModelFolder = Field("gpt2-medium", description="a hub name, perhaps with @revision, a folder, or 'demo'")
    init: Literal["pretrained", "random"] = "pretrained"
    shape: Shape = Shape()
    seed: Seed = Field(0, description="of the base weights under init 'random', the same for every trial")
    tokenizer: ModelFolder | None = Field(None, description="a folder or a hub name")

    @model_validator(mode="before")
    @classmethod
    def _revision_beside_the_name(cls, values: Any) -> Any:
        return with_revision(values, "name")

    @model_validator(mode="after")
    def _shape_only_at_random(self) -> "ModelPart":
        if self.init == "random" and self.name not in GPT2_NAMES:
            raise problem("name", f"{self.name!r} has no known shape; init 'random' accepts {', '.join(GPT2_NAMES)}")
        if self.init == "pretrained" and self.shape.model_dump(exclude_none=True):
            raise problem("shape", "accepted under init 'random' only; pretrained weights have a shape already")
        return self


class DataPart(Part):
    """The SFT set: `train` and `test` dialogues minus those of `exclude`. Without any of the three, the study's."""

    train: tuple[DataSource, ...] = Field(
        min_length=1, description=f"{LOCAL_FILES}, or a hub dataset 'owner/name:split'"
    )
    test: tuple[DataSource, ...] = Field((), description="empty: held out from train")
    exclude: tuple[ExcludeSource, ...] = Field((), description="what is subtracted from both")
    field: str = Field("chosen", description="the name of a record's field")
    test_fraction: float = Field(0.05, gt=0, lt=1, description="share held out when `test` is empty")
    validation_fraction: float = Field(0.05, gt=0, lt=1, description="share of train that a search chooses by")

    @model_validator(mode="before")
    @classmethod
    def _the_studys_or_ones_own(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        named = values.keys() & STUDY_DATA.keys()
        given = {key: value for key, value in values.items() if key not in ("test", "exclude") or value is not None}
        if named and "train" not in named:
            raise problem("train", f"missing; data.{min(named)} is given, and what trains beside it is not")
        return given if named else {**STUDY_DATA, **given}

    @field_validator("train", "test", "exclude", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class RewardPart(Part):
    """How a trial's responses are made and judged. `model: null` leaves reward metrics out."""

    model: ModelFolder | None = Field(
        "OpenAssistant/reward-model-deberta-v3-large-v2", description="a hub name, a folder, or 'demo'"
    )
    prompts: PromptsFile = Field(STUDY, description="'study', 'demo', or a CSV file with a column 'prompt'")
    max_prompts: Count | None = None
    template: str = Field("\n\nHuman: {prompt}\n\nAssistant:", description="the text that a response continues")
    temperature: float = Field(0.9, gt=0)
    top_k: Count | None = 200
    new_tokens: Count = 100
    batch_size: Count = 32
    seed: Seed = Field(0, description="of the random draws, the same for every trial and the base model")

    @model_validator(mode="before")
    @classmethod
    def _revision_beside_the_model(cls, values: Any) -> Any:
        return with_revision(values, "model")

    @field_validator("template")
    @classmethod
    def _has_prompt(cls, template: str) -> str:
        if "{prompt}" not in template:
            raise ValueError("the text '{prompt}' is missing from it")
        return template


MOST_GPUS = 10_000
"""Of one trial; none uses more than one, and no machine has so many."""


LEAST_CPU, MOST_CPUS, MOST_AUTO_CPUS = 0.01, 10_000, 4
"""Of one trial. `auto` takes no more, since GPT-2's steps gain little beyond."""


class Resources(Part):
    """What one trial asks of Ray. On a machine without a GPU, `gpu: auto` runs on CPU; a number is refused."""

    cpu: float | Literal["auto"] = Field(1.0, description="auto: as many as the machine or node has, at most 4")
    gpu: float | Literal["auto"] = Field(0.0, description="auto: the share of a GPU that the trial's memory takes")

    @field_validator("cpu", mode="before")
    @classmethod
    def _cpus_or_auto(cls, cpu: Any) -> Any:
        number = isinstance(cpu, int | float) and not isinstance(cpu, bool)
        if cpu != "auto" and (not number or not LEAST_CPU <= cpu <= MOST_CPUS):
            raise ValueError(f"accepted: auto, or a number from {LEAST_CPU} to {MOST_CPUS}")
        return float(cpu) if number else cpu

    def with_cpus(self, there: float) -> "Resources":
        """These with a number of CPUs, where a machine has so many."""
        cpu = min(MOST_AUTO_CPUS, there) if self.cpu == "auto" else self.cpu
        return self.model_copy(update={"cpu": float(cpu)})

    @field_validator("gpu", mode="before")
    @classmethod
    def _share_or_auto(cls, gpu: Any) -> Any:
        number = isinstance(gpu, int | float) and not isinstance(gpu, bool)
        if gpu != "auto" and (not number or not 0 <= gpu <= MOST_GPUS or (gpu > 1 and not float(gpu).is_integer())):
            raise ValueError("accepted: auto, a fraction of one GPU, or a whole number of them")
        return float(gpu) if number else gpu


def _with_unit(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
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

    budget: Bytes | None = Field(None, description="most that a trial may take; null: what the device has free")
    device: Bytes | None = Field(None, description="memory that a device offers, at most what it has free; null: that")
    limit: Bytes | None = Field(None, description="where a trial's process runs out of memory; null: at its share")


class HangPart(Part):
    """When a trial that does not report is said to hang, and what is done about it."""

    minutes: float | None = Field(
        None, gt=0, description="without a report; null: ten times the trial's longest wait so far, at least 10 minutes"
    )
    retry: bool = Field(False, description="end such a trial and start it again from its checkpoint, see max_failures")

    @model_validator(mode="after")
    def _retry_has_a_limit(self) -> "HangPart":
        if self.retry and self.minutes is None:
            raise problem("minutes", "missing; retry: true needs the minutes, for nobody knows how long judging takes")
        return self


class Table(Part):
    """A comparison of the report: the arms that match `where`, told apart by `factor`."""

    title: str
    where: dict[str, Any] = Field({}, description="fields of the arms and their values, such as {optimizer: adamw}")
    factor: str | None = Field(None, description="a field of a trial, such as rank")

    @field_validator("where")
    @classmethod
    def _known_fields(cls, where: dict[str, Any]) -> dict[str, Any]:
        for field in where:
            _known_field(field)
        return where

    @field_validator("factor")
    @classmethod
    def _known_factor(cls, factor: str | None) -> str | None:
        if factor is not None:
            _known_field(factor)
        return factor


def _known_field(field: str) -> None:
    if field not in TrialConfig.model_fields:
        raise ValueError(f"{field!r} is not a trial's field; accepted: {', '.join(TrialConfig.model_fields)}")


def _one_line(name: str) -> str:
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise ValueError(f"accepted: one line of text, not empty, of {LONGEST_NAME} letters at most")
    return name


class SweepSpec(Part):
    """A whole sweep. `space` lists branches; each branch is a grid over its own fields, and the sweep is their union.

    A branch maps fields of TrialConfig to a value, a list of values, or a range `{low, high, log}` (random and optuna
    search). Fields that a branch leaves out come from `trial`, and under method lora also from `lora`: so a rank
    exists only where the method has one.
    """

    name: Annotated[str, AfterValidator(_one_line)] = Field(description="a file's own name if none is given")
    about: str = ""
    variant: str | None = None
    published_figures: StrictBool = Field(False, description="print the published study's figures beside ours")
    model: ModelPart = ModelPart()
    data: DataPart = Field(default_factory=lambda: DataPart.model_validate({}))
    trial: dict[str, Any] = Field({}, description="what every trial shares, such as {steps: 1000}")
    lora: dict[str, Any] = Field({}, description="what every LoRA trial shares, such as {alpha: 32}")
    space: tuple[dict[str, Any], ...] = Field(
        min_length=1, description="branches such as {method: lora, rank: [1, 8], optimizer: adamw, lr: 1e-4}"
    )
    search: Literal["grid", "random", "optuna", "tuned"] = "grid"
    trials: Count | None = Field(
        None,
        le=MOST_TRIALS,
        description="how many configs random and optuna search try, and search 'tuned' for each arm",
    )
    choose_on: Literal["validation", "test"] | None = Field(
        None,
        description="which windows a search chooses by; null: validation, and the best are tested once; test: all that "
        "it tries is tested, and the report says that its best was chosen by what it reports",
    )
    metric: Objective = Field("test_loss", description="what is chosen by; test_loss on the windows that are chosen on")
    search_seed: Seed = 0
    seeds: Seeds = (0,)
    reward: RewardPart = RewardPart()
    resources: Resources = Resources()
    memory: MemoryPart = MemoryPart()
    max_failures: int = Field(1, ge=0, description="how often a trial that failed is started again from its checkpoint")
    checkpoint_seconds: float = Field(300, ge=0, description="least time between two checkpoints of a trial")
    hang: HangPart = HangPart()
    tables: tuple[Table, ...] = ()

    @field_validator("space", mode="before")
    @classmethod
    def _one_branch(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict) else value

    @property
    def chooses_on_validation(self) -> bool:
        """Whether settings are chosen by trials on validation windows, and the best of them tested once."""
        return self.search == "tuned" or (self.search in ("random", "optuna") and self.choose_on != "test")

    @property
    def chosen_by(self) -> str:
        """The column that a search chooses by."""
        return "validation_loss" if self.chooses_on_validation and self.metric == "test_loss" else self.metric

    @property
    def first_seeds(self) -> tuple[int, ...]:
        """The seeds that every arm runs with."""
        return tuple(range(self.seeds.min)) if isinstance(self.seeds, AdaptiveSeeds) else self.seeds

    @model_validator(mode="after")
    def _search_fits(self) -> "SweepSpec":
        if found := list(self._misfits()):
            raise problems(found)
        return self

    def _misfits(self) -> Iterator[tuple[str, str]]:
        """Keys that don't go with others, and why."""
        if self.search == "grid" and self.trials is not None:
            yield "trials", f"{self.trials} is not accepted under search 'grid', which has its own number"
        if self.search != "grid" and self.trials is None:
            yield "trials", f"missing; search '{self.search}' needs the number of configs to try"
        if not isinstance(self.seeds, AdaptiveSeeds) and len(set(self.seeds)) < len(self.seeds):
            yield "seeds", f"{shown(list(self.seeds))} names one seed twice"
        if self.search == "optuna" and isinstance(self.seeds, AdaptiveSeeds):
            yield "seeds", "min and max are not accepted under search 'optuna'; give a number or a list"
        if self.choose_on and self.search == "grid":
            yield "choose_on", f"{self.choose_on!r} is not accepted under search 'grid', which reports all it has"
        if self.choose_on == "test" and self.search == "tuned":
            yield "choose_on", "'test' is accepted under search 'random' and 'optuna'; 'tuned' has validation"
        if self.search == "tuned" and self.metric != "test_loss":
            yield "metric", f"{self.metric!r} is accepted under search 'optuna'; 'tuned' has validation loss"
        elif self.chooses_on_validation and self.metric in REWARD_METRICS:
            told = "which the report then says; on validation windows there is test_loss, or train_loss"
            yield (
                "metric",
                f"{self.metric!r} is that of the report's own prompts; accepted with choose_on: test, {told}",
            )
        parts = {"trial": self.trial, "lora": self.lora, **{f"space[{i}]": b for i, b in enumerate(self.space)}}
        for part, fields in parts.items():
            if "seed" in fields:
                yield f"{part}.seed", "not accepted; replicates are listed under 'seeds'"
            if "evaluate_on" in fields:
                yield f"{part}.evaluate_on", "not accepted; it follows from 'search'"
        if self.reward.model is None and self.search == "optuna" and self.metric in REWARD_METRICS:
            yield "metric", f"{self.metric!r} needs a reward model, and reward.model is null"
