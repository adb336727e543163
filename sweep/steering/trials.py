"""The trials of a sweep that a request can name, and the trials that a request makes."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from analysis.results.arm_labels import arm_key, label_arms
from basis.control_record import Decision
from basis.directory import PARAMS_FILE, RECORD_FILE
from basis.errors import UserError, shown
from basis.fields import DEPENDENT_FIELDS, owner_of, shared_by_adapters
from basis.read_json import DamagedError, read_object
from basis.stages import Stage
from sweep.mistakes.accepted import listed
from sweep.mistakes.explain import mistakes
from sweep.mistakes.gathered import Mistakes
from sweep.schema.seeds import MOST_SEEDS, AdaptiveSeeds
from sweep.schema.sweep_spec import MOST_TRIALS, SET_BY_THE_SWEEP
from sweep.search_space import SweepPlan, tuning_seed
from sweep.trial.config import TrialConfig

PREPARED = ("model", "block_size", "packing", "loss_on", "precision", "compile")
"""Fields for whose values data, models and devices are made ready and checked before a sweep's first trial."""

NEAR = 3
"""Names that are suggested for an unknown one."""


@dataclass(frozen=True)
class SweepTrials:
    """The trials of a sweep as far as they are known.

    Attributes:
        plan: the sweep.
        by_name: those that it has listed, begun or made by request, in this order.
        made: names of those that requests have made.
        stopped: names of those that were stopped by request.
    """

    plan: SweepPlan
    by_name: Mapping[str, TrialConfig]
    made: frozenset[str]
    stopped: frozenset[str]

    def named(self, name: str) -> TrialConfig:
        """The trial of that name.

        Raises:
            UserError: there is none.
        """
        if name in self.by_name:
            return self.by_name[name]
        raise UserError(f"{shown(name)} is no trial of this sweep; {_near(name, list(self.by_name))}")

    def added(self, values: Mapping[str, Any]) -> TrialConfig:
        """A trial with these fields; the others have what all trials of the sweep share.

        Raises:
            UserError: no trial of the sweep can have them, or one has.
        """
        self._check_fields(values)
        spec = self.plan.spec
        shared = {field: value for field, value in spec.trial.items() if field != "model"}  # which may be several
        shared |= shared_by_adapters(spec.lora, values.get("method", spec.trial.get("method")))
        return self._new(_validated({**shared, **values, "seed": spec.first_seeds[0], "evaluate_on": self._tested}))

    def cloned(self, name: str, changes: Mapping[str, Any]) -> TrialConfig:
        """A trial as the one of that name but for some fields. What belongs to a changed method or optimizer goes too.

        Raises:
            UserError: there is no such trial, no trial can have these fields, or one has.
        """
        original = self.named(name)
        if not changes:
            raise UserError(
                "clone: name a field that differs, such as lr=3e-4; further seeds are asked for by seeds +1"
            )
        self._check_fields(changes)
        left = {
            field: value
            for field, value in original.model_dump(mode="json").items()
            if not (field in DEPENDENT_FIELDS and owner_of(field) in changes)
        }
        shared = shared_by_adapters(self.plan.spec.lora, changes.get("method"))
        seed = self.plan.spec.first_seeds[0] if original.evaluate_on == Stage.TUNING else original.seed
        return self._new(_validated({**left, **shared, **changes, "seed": seed, "evaluate_on": self._tested}))

    def with_further_seeds(self, number: int, arm: str | None) -> list[TrialConfig]:
        """Trials that run the tested arms with so many further seeds each, or one arm alone.

        Args:
            number: how many.
            arm: its name as in the report, such as "lora r8 adamw lr=0.001"; what comes before its fields, where one
                arm alone begins so; or the name of one of its trials. None: all arms.

        Raises:
            UserError: no arm has been tested yet, or there is no such arm.
        """
        if not 1 <= number <= MOST_SEEDS:
            raise UserError(f"seeds +{number} is not accepted; accepted: from +1 to +{MOST_SEEDS}")
        arms = self._arms()
        if arm is not None:
            arms = {key: arms[key] for key in [self._arm_named(arm, arms)]}
        if not arms:
            raise UserError("no arm has been tested yet; ask again when the first one has begun")
        further = [
            [key.model_copy(update={"seed": seed}) for seed in islice(self._free_seeds(seeds), number)]
            for key, seeds in arms.items()
        ]
        self._check_number(number * len(arms))
        return [of_arm[place] for place in range(number) for of_arm in further]

    @property
    def arms_to_come(self) -> int:
        """How many arms of the sweep are not tested yet, since their settings are not chosen."""
        own = {trial.model_copy(update={"seed": 0}) for name, trial in self.by_name.items() if name not in self.made}
        return max(0, len(self.plan.groups) - sum(trial.evaluate_on == Stage.FINAL for trial in own))

    @property
    def _tested(self) -> Stage:
        """On what windows a trial is tested that takes no part in a choice of settings."""
        return Stage.FINAL if self.plan.spec.chooses_on_validation else Stage.PLAIN

    def _arms(self) -> dict[TrialConfig, set[int]]:
        """The tested arms, each by its config with seed 0, and the seeds that it has run with or will run with.

        An arm of which every trial was stopped is left out.
        """
        seeds = self.plan.spec.seeds
        planned = range(seeds.max) if isinstance(seeds, AdaptiveSeeds) else seeds
        arms: dict[TrialConfig, set[int]] = {}
        running = set[TrialConfig]()
        for name, trial in self.by_name.items():
            if trial.evaluate_on == self._tested:
                key = trial.model_copy(update={"seed": 0})
                arms.setdefault(key, set()).update([trial.seed] if name in self.made else planned)
                running |= {key} if name not in self.stopped else set()
        return {key: seeds for key, seeds in arms.items() if key in running}

    def _arm_named(self, arm: str, arms: Iterable[TrialConfig]) -> TrialConfig:
        configs = [key.model_dump(mode="json") for key in arms]
        as_reported = label_arms(configs)
        labels = {key: as_reported[arm_key(config)] for key, config in zip(arms, configs, strict=True)}
        alike = [key for key, label in labels.items() if arm in (key.label, label)]
        if len(alike) > 1:
            raise UserError(
                f"{shown(arm)} is the name of {len(alike)} arms; accepted: {listed([labels[key] for key in alike])}"
            )
        if not alike and arm not in self.by_name:
            raise UserError(f"{shown(arm)} is no arm of this sweep; {_near(arm, list(labels.values()))}")
        key = alike[0] if alike else self.named(arm).model_copy(update={"seed": 0})
        if key not in arms:
            raise UserError(f"{shown(arm)} is of no arm that is tested; name a trial of one that is")
        return key

    def _free_seeds(self, used: set[int]) -> Iterable[int]:
        """The seeds that an arm with these ones has left; by that of tuning trials its settings were chosen."""
        tuned = {tuning_seed(self.plan.spec)} if self.plan.spec.chooses_on_validation else set()
        return (seed for seed in count() if seed not in used | tuned)

    def _check_fields(self, values: Mapping[str, Any]) -> None:
        """Refuse fields that nobody sets."""
        wrong = Mistakes()
        for field in SET_BY_THE_SWEEP:
            if field in values:
                instead = "further seeds are asked for by seeds +1" if field == "seed" else SET_BY_THE_SWEEP[field]
                wrong.add(f"{field}: not accepted; {instead}")
        wrong.refuse()

    def _new(self, trial: TrialConfig) -> TrialConfig:
        """The trial, if the running sweep is prepared for it and has it not yet."""
        wrong = Mistakes()
        for field in PREPARED:
            prepared = list(dict.fromkeys(getattr(one, field) for one in self.plan.candidates))
            if (value := getattr(trial, field)) not in prepared:
                accepted = ", ".join(map(shown, prepared))
                wrong.add(
                    f"{field}: {shown(value)} is not accepted in a sweep that runs; it is prepared for: {accepted}"
                )
        wrong.refuse()
        if trial.name in self.by_name:
            raise UserError(f"{trial.name} is a trial of this sweep already")
        self._check_number(1)
        return trial

    def _check_number(self, further: int) -> None:
        if (total := len(self.by_name) + further) > MOST_TRIALS:
            raise UserError(f"the sweep would have {total:,} trials; accepted: {MOST_TRIALS:,} at most")


def sweep_trials(
    plan: SweepPlan, experiment_dir: Path, decisions: Sequence[Decision], stopped: Iterable[str]
) -> SweepTrials:
    """The trials of a sweep: those that it lists beforehand, those that have begun, and those made by request."""
    listed_beforehand = [] if plan.spec.search == "optuna" else plan.candidates  # Optuna's are what it may propose
    begun = [trial for folder in sorted(experiment_dir.glob("*/")) if (trial := _kept_config(folder))]
    made = made_trials(experiment_dir, decisions)
    by_name = {trial.name: trial for trial in (*listed_beforehand, *begun, *made)}
    return SweepTrials(plan, by_name, frozenset(trial.name for trial in made), frozenset(stopped))


def made_trials(experiment_dir: Path, decisions: Iterable[Decision]) -> list[TrialConfig]:
    """The trials that requests have made, in this order.

    Raises:
        UserError: the record of a decision holds what no trial can be.
    """
    made: dict[TrialConfig, None] = {}
    for decision in decisions:
        for config in decision.made:
            try:
                made[TrialConfig.model_validate(config)] = None
            except ValidationError:
                raise UserError(f"{experiment_dir}: {decision.words!r} is not recorded as the sweep left it") from None
    return list(made)


def _near(name: str, names: Sequence[str]) -> str:
    """Which names are meant perhaps, or else which there are."""
    near = difflib.get_close_matches(name, names, NEAR, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"accepted: {listed(names)}"


def _kept_config(folder: Path) -> TrialConfig | None:
    """The config of a trial that has begun, as it has recorded it itself, or else as Ray has it, some seconds later."""
    for name in (RECORD_FILE, PARAMS_FILE):
        try:
            kept = read_object(folder / name)
            config = kept["config"] if name == RECORD_FILE else kept
            return TrialConfig.model_validate(
                {field: config[field] for field in TrialConfig.model_fields if field in config}
            )
        except (DamagedError, OSError, LookupError, TypeError, ValidationError):
            continue
    return None


def _validated(values: Mapping[str, Any]) -> TrialConfig:
    """The trial with these fields.

    Raises:
        SpecError: all mistakes in them, as a spec's are told.
    """
    try:
        return TrialConfig.model_validate(values)
    except ValidationError as error:
        Mistakes(mistakes(error, TrialConfig)).refuse()
        raise
