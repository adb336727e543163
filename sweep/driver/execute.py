"""Runs a validated sweep: prepare what trials share, start Ray, hand it the trials, and record what the sweep was."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from basis.directory import SPEC_FILE, SWEEP_FILE
from basis.disks import DiskError
from basis.errors import UserError
from basis.files import write_text
from sweep.cluster.privacy import TOKEN_PATH, own_umask, without_secrets
from sweep.cluster.resources import check_gpus
from sweep.cluster.session import find_device, fit_resources, ray_session
from sweep.data.dialogues import load_sft, write_sft
from sweep.hub.pin import pin
from sweep.inputs import Process
from sweep.machine.apart import Work
from sweep.machine.environment import allow_open_files
from sweep.machine.hardware import allowed_cpus, compiler_found, cpu_has_bf16
from sweep.machine.quiet import quiet_libraries
from sweep.memory.packing import budget_on
from sweep.memory.shape import planned_shape, read_shape
from sweep.preparation.disk_room import check_experiment_room
from sweep.preparation.models import demo_assets_if_needed
from sweep.preparation.prepare import data_sources, identity, prepare
from sweep.proposal import TrialPlanner
from sweep.provenance.sweep_record import (
    begin_sweep_record,
    check_identity,
    check_trial_hashes,
    end_sweep_record,
    spec_text,
)
from sweep.search_space import SweepPlan
from sweep.spec.schema import SweepSpec
from sweep.storage.claim import claimed
from sweep.storage.healing import heal_experiment
from sweep.storage.replacement import check_settled
from sweep.tune.counts import SweepCounts
from sweep.tune.shares import Shares
from sweep.tune.tuning import tune_trials


@dataclass(frozen=True)
class Where:
    """Where a sweep runs and keeps its files."""

    experiment_dir: Path
    cache_dir: Path
    address: str | None
    dashboard: bool


def execute(
    plan: SweepPlan,
    where: Where,
    command: str,
    console: Console,
    work: Work | None = None,
) -> SweepCounts:
    """Run every trial of `spec` that is not finished yet; results lie in the experiment directory afterwards.

    Args:
        work: the process that this is the work of, if it is one of its own; a death of Ray then ends it.

    Raises:
        UserError: data, models or resources that don't fit, found before any trial starts; or the directory is in use.
        RayDiedError: Ray could not start on this machine.
    """

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True)

    experiment_dir, command = where.experiment_dir, without_secrets(command)
    candidates, spec = plan.candidates, plan.spec.model_copy(update={"about": without_secrets(plan.spec.about)})
    if where.address is None:
        allow_open_files(math.ceil(allowed_cpus() / min(1, float(spec.resources.with_cpus(allowed_cpus()).cpu))))
        torch.set_num_threads(min(torch.get_num_threads(), allowed_cpus()))
        check_gpus(spec.resources.gpu, torch.cuda.device_count())
    if where.address is None and any(c.compile for c in candidates) and not compiler_found():
        raise UserError("compile: true needs a C++ compiler; accepted: $CXX, g++ or clang++ in $PATH (none was found)")
    quiet_libraries()
    spec = pin(spec, say)
    check_experiment_room(planned_shape(spec.model), plan, experiment_dir, say)
    inputs, tokens = prepare(spec, candidates, experiment_dir, where.cache_dir, say)
    identified = identity(inputs, tokens)
    check_identity(experiment_dir, identified)
    with ray_session(where.address, where.dashboard, spec.memory.device, work) as dashboard_url:
        if where.dashboard:
            token = "" if where.address else f" (if it asks for a token: {os.environ[TOKEN_PATH]} holds it)"
            say(f"Ray's dashboard: {dashboard_url}{token}")
        resources, remark = fit_resources(spec.resources, where.address)
        if remark:
            say(remark)
        on_this_cpu = where.address is None and not resources.gpu
        if on_this_cpu and any(c.precision == "bf16" for c in candidates) and not cpu_has_bf16():
            say("precision bf16: this processor has no bf16 arithmetic; emulated, it is slower than fp32")
        device = find_device(resources, spec.memory.device)
        inputs = replace(inputs, cpus=float(resources.cpu), packing=replace(inputs.packing, device=device))
        if where.address is None:
            inputs = replace(inputs, process=Process(own_umask(), Path.cwd()))
        budget_bytes = budget_on(device, resources, spec.memory.budget)
        planner = TrialPlanner(read_shape(inputs.base_model, "model.name"), device, budget_bytes)
        for candidate in candidates:  # refused now and not after hours
            planner.propose(candidate)
        with claimed(experiment_dir):
            check_settled(f"--resume {experiment_dir}", experiment_dir)  # another process may have judged it anew
            check_identity(experiment_dir, identified)  # while this one prepared
            for line in heal_experiment(experiment_dir, inputs.prompts):
                say(line)
            if not (experiment_dir / SWEEP_FILE).exists():  # it was damaged
                check_trial_hashes(experiment_dir, inputs.provenance.hashes)
            write_spec(experiment_dir, spec)
            begin_sweep_record(experiment_dir, spec.name, command, tokens, identified)
            shares = Shares(resources, inputs.packing)
            outcome = tune_trials(replace(plan, spec=spec), inputs, planner, shares, console)
            try:
                end_sweep_record(experiment_dir)
            except DiskError as error:
                outcome = replace(outcome, disk=str(error))
    return outcome


def write_data(spec: SweepSpec, cache_dir: Path, folder: Path, console: Console) -> list[Path]:
    """Write the spec's SFT set into `folder`, see `write_sft`.

    Raises:
        UserError: a source that is missing or broken.
    """
    quiet_libraries()
    data = data_sources(spec, demo_assets_if_needed(spec, cache_dir, lambda text: console.print(text, style="dim")))
    return write_sft(load_sft(data), folder)


def write_spec(experiment_dir: Path, spec: SweepSpec) -> None:
    """Keep the resolved spec with the experiment, atomically."""
    write_text(experiment_dir / SPEC_FILE, spec_text(spec))
