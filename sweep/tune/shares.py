"""What Ray sets aside for each trial: the CPUs asked for, and of the device what the trial's plan takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler

from basis.outcome_file import read_outcome
from basis.outcomes import Outcome
from sweep.memory.packing import Packing
from sweep.proposal import Proposal
from sweep.schema.resources import Resources


@dataclass(frozen=True)
class Shares:
    """Ray asks this what to set aside for a trial.

    Attributes:
        resources: what the spec asks for, with a number of CPUs.
        packing: how trials share the device.
    """

    resources: Resources
    packing: Packing

    def __call__(self, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What a trial gets beside others.

        Args:
            config: a `Proposal` with its plan, as Ray has it.
        """
        plan = Proposal.from_ray(config).plan
        assert plan is not None, "a TrialPlanner made the proposal"
        if self.packing.device.type == "cpu":
            return self._bundle(memory=self.packing.demand_bytes(plan))
        resources = self.resources
        return self._bundle(GPU=self.packing.gpu_share(plan) if resources.packs else resources.least_gpu)

    @property
    def alone(self) -> tune.PlacementGroupFactory:
        """What a trial gets beside which nothing else is to run."""
        if self.packing.device.type == "cpu":
            return self._bundle(memory=self.packing.device.capacity_bytes or 0)
        return self._bundle(GPU=1)

    def _bundle(self, **of_the_device: float) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": self.resources.cpu, **of_the_device}])


class RetryAlone(FIFOScheduler):  # type: ignore[misc]  # Ray has no types
    """Runs trials in their order. A trial that ran out of memory gets the whole device when it is tried once more."""

    def __init__(self, alone: tune.PlacementGroupFactory, began: float = 0.0) -> None:
        """`alone` is the whole device; what happened before `began` is history (see `SweepInputs`)."""
        super().__init__()
        self._alone = alone
        self._began = began

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Ray calls this when a trial has failed, before it starts the trial again and also when it does not."""
        # A trial that has failed for good still counts as running, and Ray refuses to change what it holds.
        if trial.status == trial.RUNNING:
            return
        ending = read_outcome(Path(trial.path))
        if ending is not None and ending.outcome == Outcome.OUT_OF_MEMORY and ending.at >= self._began:
            trial.update_resources(self._alone)
