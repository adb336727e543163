"""Runs a prepared sweep: start Ray, hand it the trials, and record what the sweep was."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from basis.directory import SWEEP_FILE, base_responses_file
from basis.disks import DiskError
from sweep.cluster.cluster_claim import claimed_on_cluster
from sweep.cluster.dashboard import described_dashboard
from sweep.cluster.nodes_store import check_nodes_store
from sweep.cluster.privacy import own_umask, without_secrets
from sweep.cluster.session import find_device, fit_resources, ray_session
from sweep.command import remarks_on
from sweep.driver.launch import Launch
from sweep.hub.fetch import Say
from sweep.inputs import Process
from sweep.machine.apart import Work
from sweep.machine.hardware import cpu_has_bf16
from sweep.memory.gpu_sharing import GpuSharing
from sweep.preparation.prepare import PreparedSweep
from sweep.provenance.sweep_record import begin_sweep_record, check_identity, check_trial_hashes, end_sweep_record
from sweep.storage.claim import claimed
from sweep.storage.healing import heal_experiment
from sweep.storage.replacement import check_settled
from sweep.storing.on_driver import store_at_hand
from sweep.tune.counts import SweepCounts
from sweep.tune.shares import Shares
from sweep.tune.tuning import tune_trials
from sweep.worker.versions import deciding_versions


def execute(prepared: PreparedSweep, launch: Launch, console: Console, work: Work | None = None) -> SweepCounts:
    """Run every trial of a sweep that is not finished yet; results lie in the experiment directory afterwards.

    Args:
        prepared: the sweep and what its trials share.
        launch: where it runs.
        console: told what happens.
        work: the process that this is the work of, if it is one of its own; a death of Ray then ends it.

    Raises:
        UserError: resources that are not there, a trial that does not fit, or a directory that is in use.
        RayDiedError: Ray could not start on this machine.
    """
    say = remarks_on(console)
    spec, alone, experiment_dir = prepared.spec, launch.address is None, launch.experiment_dir
    with (
        store_at_hand(launch.stored, experiment_dir) as store,
        ray_session(launch.address, launch.dashboard, spec.memory.device, work, len(launch.gpus)) as dashboard_url,
    ):
        if launch.stored is not None:
            check_nodes_store(launch.stored)
        if launch.dashboard:
            for line in described_dashboard(dashboard_url, alone, console.is_terminal):
                say(line)
        resources, remark = fit_resources(spec.resources, launch.address)
        if remark:
            say(remark)
        if alone and not resources.gpu and "bf16" in prepared.plan.precisions and not cpu_has_bf16():
            say("precision bf16: this processor has no bf16 arithmetic; emulated, it is slower than fp32")
        if alone and not resources.gpu and "fp16" in prepared.plan.precisions:
            say("precision fp16: it is for GPUs without bf16; on a CPU it is many times slower than fp32")
        device = find_device(resources, spec.memory.device, launch.gpus)
        planner = prepared.planner(device, resources)
        process = Process(own_umask(), Path.cwd()) if alone else None
        inputs = prepared.inputs(experiment_dir, device, cpus=float(resources.cpu), process=process)
        inputs = {model: replace(of_model, versions=deciding_versions()) for model, of_model in inputs.items()}
        if store is not None:
            inputs = store.with_contents(inputs, say)
        packing = next(iter(inputs.values())).packing  # of all alike
        sharing = GpuSharing(resources, packing, planner.shapes)
        if resources.packs:
            proposals = map(planner.propose, prepared.plan.candidates)
            say(sharing.described((p.config, p.plan) for p in proposals if p.plan))
        with claimed(experiment_dir), nullcontext() if alone else claimed_on_cluster(experiment_dir):
            _open_record(prepared, launch, say)
            bring = None if store is None else store.bring
            outcome = tune_trials(prepared.plan, inputs, planner, Shares(sharing), launch.limits, console, bring)
            try:
                end_sweep_record(experiment_dir)
            except DiskError as error:
                outcome = replace(outcome, disk=str(error))
    return outcome


def _open_record(prepared: PreparedSweep, launch: Launch, say: Say) -> None:
    """Mend what is damaged in an experiment directory that is ours now, and write down what the sweep is.

    Raises:
        UserError: another process has changed the sweep while this one prepared.
    """
    experiment_dir = launch.experiment_dir
    check_settled(f"--resume {experiment_dir}", experiment_dir)  # another process may have judged it anew
    check_identity(experiment_dir, prepared.identity)
    asked = {
        experiment_dir / base_responses_file(label): [prompt.text for prompt in base.models.prompts]
        for label, base in prepared.bases.items()
    }
    for line in heal_experiment(experiment_dir, asked):
        say(line)
    if not (experiment_dir / SWEEP_FILE).exists():  # it was damaged
        check_trial_hashes(experiment_dir, {label: base.provenance.hashes for label, base in prepared.bases.items()})
    command = without_secrets(launch.command)
    begin_sweep_record(experiment_dir, prepared.spec, command, prepared.statistics, prepared.identity)
