"""--dry-run: the trials of a sweep, how each would be executed, and the memory that it is predicted to take."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from basis.units import show_bytes
from sweep.data.words import describe_sources
from sweep.driver.precision import planned_precision
from sweep.hub.fetch import Say
from sweep.machine.gpu_facts import GpuFacts
from sweep.machine.hardware import allowed_cpus, free_memory_bytes
from sweep.machine.quiet import quiet_libraries
from sweep.memory.device import Device, gpu_device
from sweep.memory.gpu_sharing import GpuSharing
from sweep.memory.packing import Packing, budget_on
from sweep.memory.plan import MemoryPlan, plan_trial
from sweep.memory.shape import planned_shapes
from sweep.preparation.first_examples import check_first_examples
from sweep.preparation.optimizers import check_optimizers
from sweep.schema.seeds import AdaptiveSeeds
from sweep.schema.sweep_spec import SweepSpec
from sweep.search_space import SweepPlan
from sweep.space.learning_rates import DefaultRate, describe_default
from sweep.trial.config import TrialConfig

NOT_SET = "-"
"""Cell of a field that a trial does not have, or that is empty."""


@dataclass(frozen=True)
class DryRun:
    """What a dry run finds of a sweep.

    Attributes:
        plan: the sweep and its trials, every `auto` settled.
        default_rates: what each `lr: default` has become.
        data: what the sweep trains and tests on, a line each.
        device: what trials would train on.
        budget_bytes: what a trial may take of it; None where nobody knows the device.
        memory: how each trial would be executed, in the order of the plan's candidates.
        sharing: how trials share a device.
    """

    plan: SweepPlan
    default_rates: tuple[DefaultRate, ...]
    data: list[str]
    device: Device
    budget_bytes: int | None
    memory: list[MemoryPlan]
    sharing: GpuSharing


def work_out(plan: SweepPlan, first_records: list[str], gpus: Sequence[GpuFacts], console: Console, say: Say) -> DryRun:
    """Predict the memory of a sweep's trials.

    Args:
        plan: the sweep and its trials.
        first_records: what the files of its data begin with, see `sweep.preparation.first_look.look_at_files`.
        gpus: of this machine, if trials may get one.
        console: where it is shown that this takes a moment.
        say: told what is out of the ordinary.

    Raises:
        UserError: a trial that does not fit into the budget, a base model whose shape nobody knows, or a template that
            fails on the first examples.
    """
    quiet_libraries()
    default_rates = plan.default_rates
    plan = planned_precision(plan, gpus, say)
    spec, trials = plan.spec, plan.candidates
    check_optimizers(trials)
    shapes = planned_shapes(spec.models, trials)
    for label in shapes:
        check_first_examples(spec, spec.models[label])
    device = planned_device(spec, gpus)
    budget_bytes = budget_on(device, spec.resources, spec.memory.budget)
    with console.status("predicting memory"):
        memory_plans = [plan_trial(trial, shapes[trial.model], device, budget_bytes) for trial in trials]
    sharing = GpuSharing(spec.resources, Packing(device, limit_bytes=spec.memory.limit), shapes)
    data = [f"data: {describe_sources(spec.data)}", *first_records]
    return DryRun(plan, default_rates, data, device, budget_bytes, memory_plans, sharing)


def print_trials(found: DryRun, console: Console) -> None:
    """Print the trials and their memory, then what they share and ask for."""
    trials = found.plan.candidates
    _print_configs(f"{found.plan.spec.name}: {what_runs(found.plan)}", trials, console)
    lines = [*map(describe_default, found.default_rates), *found.data]
    console.print("\n".join(lines) + "\n", highlight=False, markup=False, soft_wrap=True)
    _print_memory(trials, found.memory, found.device, found.budget_bytes, console)
    _print_resources(found.sharing, trials, found.memory, console)


def what_runs(plan: SweepPlan) -> str:
    """How many trials of which kind will run, in words."""
    spec, seeds, listed = plan.spec, plan.spec.first_seeds, len(plan.candidates)
    if spec.search == "optuna":
        between = f"{spec.trials} configs that Optuna will choose between these corners of its space"
        if spec.chooses_on_validation:
            return f"{between}, on validation windows; then {_tested_once(len(plan.groups), len(seeds))}"
        return between + (f", each with {len(seeds)} seeds" if len(seeds) > 1 else "")
    further = ""
    if isinstance(spec.seeds, AdaptiveSeeds):
        further = f"; then further seeds, {spec.seeds.max} in all at most, for arms tied with the leader"
    if spec.search == "tuned":
        finals = plan.least_trials - listed
        return f"{listed} tuning trials; then each arm's best with {len(seeds)} seeds, {finals} trials{further}"
    if spec.chooses_on_validation:
        return f"{listed} trials on validation windows; then {_tested_once(len(plan.groups), len(seeds))}{further}"
    return f"{listed} trials{further}"


def _tested_once(groups: int, seeds: int) -> str:
    each = "the best" if groups == 1 else f"the best of each of {groups} groups that are compared"
    return f"{each} with {seeds} seed{'' if seeds == 1 else 's'}, tested once, {groups * seeds} trials"


def planned_device(spec: SweepSpec, gpus: Sequence[GpuFacts]) -> Device:
    """What trials would train on: a GPU if the spec asks for one, whether this machine has it or not."""
    if spec.resources.gpu:
        return gpu_device(gpus, spec.memory.device)
    return Device("cpu", min(spec.memory.device or sys.maxsize, free_memory_bytes()))


def _print_configs(title: str, trials: list[TrialConfig], console: Console) -> None:
    """A column for each field in which trials differ, then a line of what they share.

    Fields such as alpha or betas, which some trials have and others cannot have, count as shared if all who have
    them agree.
    """
    rows = [trial.model_dump(mode="json") for trial in trials]
    values = {name: list(dict.fromkeys(_cell(r[name]) for r in rows if r[name] is not None)) for name in rows[0]}
    told = ("model", "method", "rank")  # by the label, and by a column of its own
    differing = ["rank", *(name for name in values if len(values[name]) > 1 and name not in told)]
    table = _table()
    table.add_column("trial", no_wrap=True)
    for column in differing:
        table.add_column(column)
    for trial, row in zip(trials, rows, strict=True):
        table.add_row(trial.label, *(_cell(row[name]) for name in differing))
    _print_titled(title, table, console)
    alike = {name: cells[0] for name, cells in values.items() if len(cells) == 1 and cells != [NOT_SET]}
    shared = ", ".join(f"{name} {cell}" for name, cell in alike.items())
    console.print(f"every trial: {shared}\n", highlight=False)


def _print_memory(
    trials: list[TrialConfig], plans: list[MemoryPlan], device: Device, budget_bytes: int | None, console: Console
) -> None:
    """A row for each way in which trials take memory; those that differ in nothing that matters share one."""
    largest = max((plan.predicted.total for plan in plans if plan.predicted), default=0)
    unit, size, digits = ("GiB", 2**30, 3) if largest >= 2**30 else ("MiB", 2**20, 1)
    table = _table()
    title = f"Predicted peak memory on {'a GPU' if device.type == 'cuda' else 'CPU'}, in {unit}"
    for heading in ("trial", "x", "micro-batch", "peak", "weights", "gradients", "state", "logits", "activations"):
        table.add_column(heading, justify="left" if heading == "trial" else "right", no_wrap=True)
    groups: dict[tuple[str, MemoryPlan], int] = {}
    for trial, plan in zip(trials, plans, strict=True):
        groups[trial.label, plan] = groups.get((trial.label, plan), 0) + 1
    for (label, plan), count in groups.items():
        checkpointed = " checkpointed" if plan.execution.activation_checkpointing else ""
        parts = (plan.predicted.total, *plan.predicted.as_dict().values()) if plan.predicted else ()
        cells = [f"{value / size:,.{digits}f}" for value in parts] or ["unknown"]
        table.add_row(label, str(count), f"{plan.execution.micro_batch}{checkpointed}", *cells)
    _print_titled(title, table, console)
    allowed = (
        f"budget per trial: {show_bytes(budget_bytes)}"
        if budget_bytes is not None
        else "no budget: the GPU is not here"
    )
    console.print(
        "micro-batch: windows per forward pass; checkpointed: with activation checkpointing; activations: all that is "
        f"none of the others\n{allowed}",
        highlight=False,
    )


def _print_resources(sharing: GpuSharing, trials: list[TrialConfig], plans: list[MemoryPlan], console: Console) -> None:
    """What each trial asks of Ray, and how many that lets run side by side."""
    asked, packing = sharing.resources.with_cpus(allowed_cpus()), sharing.packing
    device, cpus = packing.device, float(asked.cpu)
    words = {"auto": "a share of a GPU by its memory and its work", "share": "a share of a GPU by its memory"}
    gpu = words.get(str(asked.gpu)) or f"{asked.gpu:g} GPU"
    alone = " (CPU alone where there is no GPU)" if asked.packs else ""
    here = f"; more than the {allowed_cpus()} CPUs that may be used here" if cpus > allowed_cpus() else ""
    console.print(f"resources per trial: {cpus:g} CPU, {gpu}{alone}{here}", highlight=False)
    if device.capacity_bytes is None or not (device.type == "cpu" or asked.packs):
        return
    demands = [packing.demand_bytes(plan) for plan in plans]
    console.print(
        f"memory per trial with its process: {show_bytes(min(demands))} to {show_bytes(max(demands))} of "
        f"{show_bytes(device.capacity_bytes)}",
        highlight=False,
    )
    if device.gpus:
        console.print(sharing.described(zip(trials, plans, strict=True)), highlight=False, soft_wrap=True)


def _table() -> Table:
    return Table(box=None, header_style="bold", padding=(0, 1, 0, 0))


def _print_titled(title: str, table: Table, console: Console) -> None:
    """A title of the table's own would be broken to its width."""
    console.print(title, style="italic", highlight=False, markup=False, soft_wrap=True)
    console.print(table)


def _cell(value: Any) -> str:
    if value is None or value == {}:
        return NOT_SET
    if isinstance(value, dict):
        return ", ".join(f"{name}={_cell(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
