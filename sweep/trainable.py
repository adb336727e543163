"""The Ray adapter: a class Trainable around `TrialRun`, and nothing that trains."""

import gc
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from basis.directory import CHECKPOINT_FILE
from basis.errors import UserError
from basis.metrics import NOT_JUDGED, REMARKS
from basis.outcome_file import keep_outcome
from basis.outcomes import ending_of_finished
from model.memory_limit import keep_large_tensors_apart
from sweep.inputs import SweepInputs, on_this_node
from sweep.proposal import Proposal
from sweep.trial.metrics import gpu_name
from sweep.worker.death import Worker, worker_noted
from sweep.worker.failure import failure_kept
from sweep.worker.node_watch import node_watch
from sweep.worker.opening import open_trial
from sweep.worker.trial_run import Host, TrialRun
from sweep.worker.versions import check_versions

if TYPE_CHECKING:
    from sweep.storing.on_node import StoredTrial

OBJECTIVE_MISSING = float("nan")


class Trainable(tune.Trainable):  # type: ignore[misc]  # Ray has no types
    """One SFT run as Ray Tune sees it: each `step` is the training up to the next row of metrics.

    Workers are reused: `reset_config` ends one trial completely, and the next begins in the same process.
    """

    def setup(
        self, config: dict[str, Any], inputs: Mapping[str | None, SweepInputs], objective: str | None = None
    ) -> None:
        """Get ready for the trial of `config`, which begins with the first step.

        Args:
            config: a `Proposal` as Ray has it.
            inputs: what the sweep's trials share, by what they say of their base model.
            objective: a metric that every row must have because a search algorithm reads it; rows before it is
                known get NaN.
        """
        gc.freeze()  # what imports have left stays for good; looking through it after every trial would take 0.2 s
        shared = next(iter(inputs.values()))  # models differ in tokens, prompts and weights alone
        if shared.packing.limit_bytes is not None:
            keep_large_tensors_apart()
        if shared.process is not None:
            shared.process.take_over()
        self._inputs = {model: on_this_node(_as_stored(of_model)) for model, of_model in inputs.items()}
        self.objective = objective
        here = self._inputs.values()
        for path in (next(iter(here)).experiment_dir, *(of_model.train_tokens for of_model in here)):
            if not path.exists():
                raise FileNotFoundError(
                    f"{path} is not there on this node; on a cluster --output and SFT_SWEEP_CACHE must lie on shared "
                    "storage, or --output in object storage"
                )
        self._proposal = Proposal.from_ray(config)
        self._trial_run: TrialRun | None = None
        self._stored: StoredTrial | None = None
        self._noted = ExitStack()

    @property
    def inputs(self) -> SweepInputs:
        """What trials of this one's base model share."""
        return self._inputs[self._proposal.config.model]

    @property
    def _folder(self) -> Path:
        """The trial's directory."""
        return self.inputs.experiment_dir / self._proposal.config.name

    @property
    def trial_run(self) -> TrialRun:
        """The trial, which is opened when it is first asked for."""
        if self._trial_run is None:
            self._trial_run = self._open()
        return self._trial_run

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """End this trial and have another begin with the next step."""
        self.cleanup()
        # Not opened here: Ray gives a trial that fails in here no second try, and goes on keeping a worker with its
        # share for it, for which trials with other shares then wait for ever.
        self._proposal, self._trial_run = Proposal.from_ray(new_config), None
        return True

    def step(self) -> dict[str, Any]:
        """Train up to the next row of metrics and report it."""
        try:
            with self._own_disk_named():
                row = self._next_row()
        except Exception:
            self._leave_store()
            raise
        if self._stored is not None and row["done"]:
            self._stored.end()  # before anybody hears that the trial has finished
            self._stored = None
        else:
            self._keep_up()
        return row

    def _own_disk_named(self) -> AbstractContextManager[None]:
        if self.inputs.stored is None:
            return nullcontext()
        from sweep.storing.on_node import own_disk_named  # imports pyarrow

        return own_disk_named(ray.get_runtime_context().get_node_id())

    def _keep_up(self) -> None:
        if self._stored is not None:
            self._stored.keep_up()

    def _next_row(self) -> dict[str, Any]:
        with failure_kept(self._folder):
            row = self.trial_run.advance()
        row["done"] = row.get("finished", False)
        if remarks := self.trial_run.take_remarks():
            row[REMARKS] = remarks
        if row["done"]:
            keep_outcome(self._folder, ending_of_finished(row.get(NOT_JUDGED)))
            self._noted.close()  # Ray does without cleanup where it ends a worker for good
        if self.objective is not None:
            row.setdefault(self.objective, OBJECTIVE_MISSING)
        return row

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the trial's state where Ray wants it (schedulers that pause or clone trials ask for this)."""
        self.trial_run.save(Path(checkpoint_dir) / CHECKPOINT_FILE)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Continue from the state in `checkpoint_dir`."""
        self.trial_run.load(Path(checkpoint_dir) / CHECKPOINT_FILE)

    def cleanup(self) -> None:
        """Free memory and locks when Ray is done with this worker."""
        if self._trial_run is not None:
            self._trial_run.close()
        self._noted.close()
        self._leave_store()

    def _leave_store(self) -> None:
        """The trial has ended before its last step: what the store lacks is sent, if it can be."""
        if self._stored is not None:
            try:
                self._stored.end()
            except UserError as error:
                print(error, file=sys.stderr)
        self._stored = None

    def _open(self) -> TrialRun:
        check_versions(self.inputs.versions)
        if (stored := self.inputs.stored) is not None:
            from sweep.storing.on_node import StoredTrial  # imports pyarrow

            trial = StoredTrial(self.inputs, stored, self._proposal.config.name)
            trial.bring()
            self._stored = trial
        if ray.is_initialized():  # in a worker, whose death leaves more to be told than its pid
            node_id = ray.get_runtime_context().get_node_id()
            worker = Worker(os.getpid(), ray.util.get_node_ip_address(), node_id)
            self._noted.enter_context(worker_noted(self._folder, worker))
        granted = self.trial_resources.required_resources if self.trial_resources else {}
        proposal = self._proposal
        kind = gpu_name() if proposal.plans else None
        packing = self.inputs.packing.on(kind)
        inputs, cap_bytes = replace(self.inputs, packing=packing), packing.cap_bytes(granted.get("GPU", 1.0))
        host = Host(lambda: node_watch().notice, self._keep_up)
        return open_trial(proposal.config, inputs, proposal.suggestion, proposal.plan_on(kind), cap_bytes, host)


def _as_stored(inputs: SweepInputs) -> SweepInputs:
    """The inputs with folders of this node, where trials share none with the driver."""
    if inputs.stored is None:
        return inputs
    from sweep.storing.on_node import inputs_on_node, own_disk_named  # imports pyarrow

    with own_disk_named(ray.get_runtime_context().get_node_id()):
        return inputs_on_node(inputs, inputs.stored)
