"""SweepSpec: one sweep as its YAML file describes it, validated whole before anything starts.

Each part of a spec has a module of its own beside this one: model, data, reward, resources, seeds, tables.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictBool, ValidationInfo, field_validator, model_validator

from basis.errors import problems, shown
from basis.metrics import REWARD_METRICS, Objective
from basis.optimizers import canonical
from sweep.schema.data import DataPart
from sweep.schema.model import ModelPart, Models, labels_in
from sweep.schema.resources import HangPart, MemoryPart, Resources
from sweep.schema.reward import RewardPart
from sweep.schema.seeds import AdaptiveSeeds, Seed, Seeds
from sweep.schema.tables import Table
from sweep.schema.tracking import Notify, Trackers
from sweep.trial.part import AcceptedWords, Count, Part

MOST_TRIALS = 10_000
"""Of a sweep; each is validated before the first one starts."""

KEYS_OF_A_FILE = ("extends", "variants")
"""Keys of a spec file that are gone once it is merged."""

SET_BY_THE_SWEEP = {"seed": "replicates are listed under 'seeds'", "evaluate_on": "it follows from 'search'"}
"""Fields of a trial that no spec sets, and why."""

LONGEST_NAME = 255
"""Letters of a sweep's name; a file's own name has no more."""


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

    name: Annotated[str, AfterValidator(_one_line), AcceptedWords("one line of text")] = Field(
        description="Name of the sweep; its directory begins with it."
    )
    about: str = Field("", description="One line about the sweep, for its report and `--list`.")
    variant: str | None = Field(
        None, description="The variant that is chosen, one of `variants`. `--set variant=NAME` chooses another."
    )
    published_figures: StrictBool = Field(False, description="Print the published study's figures beside ours.")
    model: Models = Field(
        ModelPart(),
        description="Which weights trials start from. Several are a list: each branch of `space` that has no `model` "
        "of its own is then tried with each of them.",
    )
    data: DataPart = Field(
        default_factory=lambda: DataPart.model_validate({}), description="What trials train and are tested on."
    )
    trial: Annotated[dict[str, Any], AcceptedWords("what every trial shares, such as {steps: 1000}")] = Field(
        {}, description="Fields that all trials share; a branch of `space` may have another value."
    )
    lora: Annotated[dict[str, Any], AcceptedWords("what every LoRA trial shares, such as {alpha: 32}")] = Field(
        {}, description="Fields that all trials of method lora share; they override `trial`."
    )
    space: tuple[
        Annotated[
            dict[str, Any],
            AcceptedWords("branches such as {method: lora, rank: [1, 8], optimizer: adamw, lr: 1e-4}"),
        ],
        ...,
    ] = Field(min_length=1, description="What is tried: branches, each with values, lists or ranges of its own fields.")
    search: Literal["grid", "random", "optuna", "tuned"] = Field(
        "grid",
        description="How the space is tried: all of it (grid), by draws (random), by Optuna's proposals, or each arm "
        "tuned by itself (tuned).",
    )
    trials: Count | None = Field(
        None,
        le=MOST_TRIALS,
        description="How many configs are tried: by random and optuna in all, by tuned for each arm. grid has none.",
    )
    choose_on: Literal["validation", "test"] | None = Field(
        None,
        description="Which windows random and optuna choose by. null means validation: the best are then tested once. "
        "test: all that is tried is tested, and the report says that its best was chosen by what it reports.",
    )
    metric: Objective = Field(
        "test_loss",
        description="What a search chooses by. test_loss means the loss on the windows of `choose_on`, and is all that "
        "tuned accepts. Rewards and win rate need `choose_on: test`.",
    )
    search_seed: Seed = Field(0, description="Seed of what a search draws or proposes.")
    seeds: Seeds = Field((0,), description="The seeds that each arm runs with. A number N means 0 to N - 1.")
    reward: RewardPart = Field(RewardPart(), description="How responses are made and judged.")
    resources: Resources = Field(Resources(), description="What one trial asks of Ray.")
    memory: MemoryPart = Field(MemoryPart(), description="How memory decides on the trials.")
    max_failures: int = Field(
        1, ge=0, description="How often a trial that failed is started again from its checkpoint."
    )
    checkpoint_seconds: float = Field(
        300,
        ge=0,
        description="Least seconds between two checkpoints of a trial; between two rows of metrics a minute at least.",
    )
    hang: HangPart = Field(HangPart(), description="When a silent trial hangs, and what is done about it.")
    track: Trackers = Field(
        ("tensorboard",),
        description="Where each trial is a run, under one experiment named after the sweep. What is not installed or "
        "can't be reached costs no trial; `python -m sweep.track DIR` sends it later.",
    )
    notify: Notify = Field(
        None,
        description="What is posted to when the sweep ends or fails, or a trial diverges. $NAME stands for a variable "
        "of the environment. A URL itself is kept nowhere: --resume then takes it from $SFT_NOTIFY_URL.",
    )
    tables: tuple[Table, ...] = Field((), description="The comparisons of the report. Empty: one table of all arms.")

    @field_validator("space", mode="before")
    @classmethod
    def _one_branch(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict) else value

    @field_validator("trial", "lora", "space")
    @classmethod
    def _optimizers_by_one_name(cls, value: Any) -> Any:
        return with_one_name(value) if isinstance(value, dict) else tuple(map(with_one_name, value))

    @field_validator("trial")
    @classmethod
    def _shared_model_by_label(cls, trial: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        models = info.data.get("model")
        if not isinstance(models, tuple) or "model" not in trial:
            return trial
        return {**trial, "model": labels_in(models, trial["model"])}

    @field_validator("space")
    @classmethod
    def _models_by_label(cls, space: tuple[dict[str, Any], ...], info: ValidationInfo) -> tuple[dict[str, Any], ...]:
        """Where there are several base models, every branch says by their labels which it takes."""
        models = info.data.get("model")
        if not isinstance(models, tuple):
            return space
        every = info.data.get("trial", {}).get("model", [part.called for part in models])
        return tuple(
            {"model": labels_in(models, branch.get("model", every)), **_without_model(branch)} for branch in space
        )

    @field_validator("tables")
    @classmethod
    def _shown_optimizers_by_one_name(cls, tables: tuple[Table, ...]) -> tuple[Table, ...]:
        return tuple(table.model_copy(update={"where": with_one_name(table.where)}) for table in tables)

    @field_validator("tables")
    @classmethod
    def _shown_models_by_label(cls, tables: tuple[Table, ...], info: ValidationInfo) -> tuple[Table, ...]:
        models = info.data.get("model")
        if not isinstance(models, tuple):
            return tables
        return tuple(
            table.model_copy(update={"where": {**table.where, "model": labels_in(models, table.where["model"])}})
            if "model" in table.where
            else table
            for table in tables
        )

    @property
    def models(self) -> dict[str | None, ModelPart]:
        """The base models by what trials say of theirs: by its label, or None where there is but one."""
        return {None: self.model} if isinstance(self.model, ModelPart) else {part.label: part for part in self.model}

    @property
    def models_by_key(self) -> dict[str, ModelPart]:
        """The base models by the key at which they stand, for messages."""
        if isinstance(self.model, ModelPart):
            return {"model": self.model}
        return {f"model[{place}]": part for place, part in enumerate(self.model)}

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
            for field, reason in SET_BY_THE_SWEEP.items():
                if field in fields:
                    yield f"{part}.{field}", f"not accepted; {reason}"
        yield from self._misfits_of_models()
        if self.reward.judged_by is None and self.search == "optuna" and self.metric in REWARD_METRICS:
            yield "metric", f"{self.metric!r} needs a judge, and reward names none"

    def _misfits_of_models(self) -> Iterator[tuple[str, str]]:
        """Where branches and tables name base models that the spec does not have, or leave one out."""
        if "model" in self.lora:
            yield "lora.model", "not accepted; model stands in a branch of space"
        shared = self.trial.get("model")
        named = {
            "trial.model": _listed(shared),
            **{f"space[{i}].model": _listed(branch.get("model")) for i, branch in enumerate(self.space)},
        }
        if isinstance(self.model, ModelPart):
            for place, labels in named.items():
                if labels:
                    yield place, f"{shown(labels[0])} is accepted where the spec's `model` is a list of models"
            return
        if self.search == "optuna":
            yield "search", "'optuna' is not accepted with a list of models, whose losses may not compare; 'tuned' is"
        named |= {f"tables[{i}].where.model": _listed(table.where.get("model")) for i, table in enumerate(self.tables)}
        known = [part.called for part in self.model]
        for place, labels in named.items():
            for label in labels:
                if label not in known and (label != shared or place == "trial.model"):
                    yield place, f"{shown(label)} is none of the spec's models; accepted: {', '.join(known)}"
        tried = {label for branch in self.space for label in _listed(branch["model"])}
        for index, label in enumerate(known):
            if label not in tried:
                yield f"model[{index}]", f"no branch of space takes {shown(label)}; leave it out of the list"


def _listed(said: Any) -> list[Any]:
    """What a field says, as a list; nothing where it says nothing."""
    return said if isinstance(said, list) else [] if said is None else [said]


def with_one_name(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a trial, with each optimizer under its one name, by which branches, tables and trials find another."""
    said = fields.get("optimizer")
    if isinstance(said, str):
        return {**fields, "optimizer": canonical(said)}
    if isinstance(said, list):
        return {**fields, "optimizer": [canonical(name) if isinstance(name, str) else name for name in said]}
    return fields


def _without_model(branch: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in branch.items() if field != "model"}
