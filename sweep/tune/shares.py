"""What Ray sets aside for each trial: the CPUs asked for, and its share of the device."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler

from basis.outcome_file import read_outcome
from basis.outcomes import Outcome
from sweep.memory.gpu_sharing import GpuSharing
from sweep.proposal import Proposal
from sweep.storing.trial_files import DISK_OF_NODE

NODE_LABEL = "ray.io/node-id"
"""The label that Ray gives every node, with its id."""


@dataclass(frozen=True)
class Shares:
    """Ray asks this what to set aside for a trial.

    Attributes:
        sharing: how trials share a device, by resources with a number of CPUs.
    """

    sharing: GpuSharing

    def __call__(self, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What a trial gets beside others.

        Args:
            config: a `Proposal` with its plan, as Ray has it.
        """
        proposal = Proposal.from_ray(config)
        assert proposal.plan is not None, "a TrialPlanner made the proposal"
        packing = self.sharing.packing
        if packing.device.type == "cpu":
            return self._bundle(memory=packing.demand_bytes(proposal.plan))
        return self._bundle(GPU=self.sharing.share(proposal.config, proposal.plan))

    def gpus(self, config: dict[str, Any]) -> float:
        """How much of a GPU a trial holds."""
        return float(self(config).required_resources.get("GPU", 0))

    @property
    def alone(self) -> tune.PlacementGroupFactory:
        """What a trial gets beside which nothing else is to run."""
        device = self.sharing.packing.device
        if device.type == "cpu":
            return self._bundle(memory=device.capacity_bytes or 0)
        return self._bundle(GPU=1)

    def _bundle(self, **of_the_device: float) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": self.sharing.resources.cpu, **of_the_device}])


class RetryAlone(FIFOScheduler):  # type: ignore[misc]  # Ray has no types
    """Runs trials in their order. A trial that ran out of memory gets the whole device when it is tried once more.

    One that the disk of its node made fail is tried on another node.

    It looks through the trials that have not ended. Ray's own looks through all of them, each time that its loop goes
    round, which takes longer with each trial.
    """

    def __init__(self, alone: tune.PlacementGroupFactory, began: float = 0.0) -> None:
        """`alone` is the whole device; what happened before `began` is history (see `SweepInputs`)."""
        super().__init__()
        self._alone = alone
        self._began = began
        self._unended: dict[str, Any] = {}
        """By their ids, in the order in which they came; those that have ended meanwhile are still to be taken out."""
        self._without_disk: set[str] = set()
        """Ids of nodes whose own disk made a trial fail."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Ray has a further trial."""
        self._unended[trial.trial_id] = trial

    def waiting(self) -> list[Any]:
        """The trials that could start, the first that came first."""
        self._unended = {name: trial for name, trial in self._unended.items() if not trial.is_finished()}
        return [trial for trial in self._unended.values() if trial.status == trial.PENDING]

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The trial that starts next; None: there is none."""
        return next(iter(self.waiting()), None)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Ray calls this when a trial has failed, before it starts the trial again and also when it does not."""
        # A trial that has failed for good still counts as running, and Ray refuses to change what it holds.
        if trial.status == trial.RUNNING:
            return
        ending = read_outcome(Path(trial.path))
        if ending is not None and ending.outcome == Outcome.OUT_OF_MEMORY and ending.at >= self._began:
            trial.update_resources(self._alone)
        elif (node := _failed_disk(trial)) is not None:
            self._without_disk.add(node)
            if (elsewhere := _elsewhere(trial.placement_group_factory.bundles, self._without_disk)) is not None:
                trial.update_resources(elsewhere)


def _failed_disk(trial: Any) -> str | None:
    """The node whose disk has made a trial fail last, by its id; None: it was no node's own disk."""
    try:
        last = Path(trial.error_file or "").read_text(encoding="utf-8", errors="replace").split("Failure # ")[-1]
    except OSError:
        return None
    found = re.search(rf"{DISK_OF_NODE} ([0-9a-f]+)", last)
    return found[1] if found else None


def _elsewhere(bundles: Sequence[Mapping[str, float]], without: Collection[str]) -> tune.PlacementGroupFactory | None:
    """The same resources on other nodes; None where no other node has them, and the trial may as well try there."""
    able = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in without]
    if not any(
        all(node["Resources"].get(name, 0) >= need for one in bundles for name, need in one.items()) for node in able
    ):
        return None
    selector = {NODE_LABEL: f"!in({','.join(sorted(without))})"}
    return tune.PlacementGroupFactory([dict(one) for one in bundles], bundle_label_selector=[selector] * len(bundles))
