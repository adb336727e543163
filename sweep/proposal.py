"""A trial as Ray Tune is given it: its config, and beside it how its memory is planned and how it was chosen.

Ray Tune hands each trial one flat mapping, keeps it in params.json, and gives it to the worker. Nobody else reads or
writes the keys of that mapping.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import PretrainedConfig

from sweep.memory.device import Device
from sweep.memory.plan import MemoryPlan, alike_in_memory, plan_trial
from sweep.search_space import SUGGESTED
from sweep.trial.config import TrialConfig

PLAN, PLANS = "plan", "plans"
"""Keys of the plan, and of the plans by kind of GPU, beside the fields of the TrialConfig."""


@dataclass(frozen=True)
class Proposal:
    """A trial that Ray Tune is to run.

    Attributes:
        config: the trial.
        plan: how it is executed and what memory is predicted for it; None: it is executed as configured.
        suggestion: the values that Optuna chose the config by, by their names; None: no search chose it.
        plans: the plans for each kind of GPU, by its name, where the trial gets all of one and there are several.
    """

    config: TrialConfig
    plan: MemoryPlan | None = None
    suggestion: dict[str, Any] | None = None
    plans: Mapping[str, MemoryPlan] = field(default_factory=dict)

    def plan_on(self, kind: str | None) -> MemoryPlan | None:
        """The plan on that kind of GPU, by its name; one that nobody has planned for has that of all kinds."""
        return self.plan if kind is None else self.plans.get(kind, self.plan)

    def to_ray(self) -> dict[str, Any]:
        """The mapping for Ray Tune: the fields of the config as plain values, and one key for each of the others."""
        return {
            **self.config.model_dump(mode="json"),
            **({} if self.plan is None else {PLAN: self.plan.to_mapping()}),
            **({PLANS: {kind: plan.to_mapping() for kind, plan in self.plans.items()}} if self.plans else {}),
            **({} if self.suggestion is None else {SUGGESTED: self.suggestion}),
        }

    @classmethod
    def from_ray(cls, mapping: Mapping[str, Any]) -> "Proposal":
        """What `to_ray` made, perhaps with further keys that a search algorithm keeps for itself.

        Raises:
            ValidationError: the mapping holds no config that a trial can have.
        """
        config = {name: value for name, value in mapping.items() if name in TrialConfig.model_fields}
        plan = mapping.get(PLAN)
        return cls(
            TrialConfig.model_validate(config),
            None if plan is None else MemoryPlan.from_mapping(plan),
            mapping.get(SUGGESTED),
            {kind: MemoryPlan.from_mapping(of_kind) for kind, of_kind in mapping.get(PLANS, {}).items()},
        )


@dataclass(frozen=True)
class TrialPlanner:
    """Plans the memory of a sweep's trials.

    Attributes:
        shapes: of the base models, by what trials say of theirs.
        device: what each trial trains on.
        budget_bytes: the most that a trial may be predicted to take; None: nobody has set a limit or knows one.
        is_text: whether the data are texts, and not pairs or conversations, whose rows need a mask.
        kinds: each kind of GPU by its name, with its budget, where trials get all of one and there are several.
    """

    shapes: Mapping[str | None, PretrainedConfig]
    device: Device
    budget_bytes: int | None
    is_text: bool = True
    kinds: Mapping[str, tuple[Device, int | None]] = field(default_factory=dict)
    _planned: dict[TrialConfig, tuple[MemoryPlan, dict[str, MemoryPlan]]] = field(default_factory=dict, init=False)
    """The plans so far, of all kinds of device and of each, by what trials are alike in."""

    def propose(self, config: TrialConfig) -> Proposal:
        """The trial with the plan of its memory.

        Raises:
            UserError: the trial does not fit into the budget.
        """
        alike = alike_in_memory(config)
        if alike not in self._planned:
            of_each = {kind: self._plan(alike, device, budget) for kind, (device, budget) in self.kinds.items()}
            self._planned[alike] = self._plan(alike, self.device, self.budget_bytes), of_each
        plan, by_kind = self._planned[alike]
        return Proposal(config, plan, plans=by_kind)

    def _plan(self, config: TrialConfig, device: Device, budget_bytes: int | None) -> MemoryPlan:
        return plan_trial(config, self.shapes[config.model], device, budget_bytes, is_text=self.is_text)

    def propose_to_ray(self, config: TrialConfig) -> dict[str, Any]:
        """The same as the mapping that Ray Tune is given.

        Raises:
            UserError: as `propose`.
        """
        return self.propose(config).to_ray()
