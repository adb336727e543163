"""What each request of the command line does. torch and Ray are imported only once a valid spec is to be run."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from basis.cache import CACHE_VARIABLE
from basis.directory import SPEC_FILE
from basis.documents.documents import print_document
from basis.documents.part import Document
from basis.scripts import as_called, typed
from sweep.cluster.environment import set_ray_environment
from sweep.cluster.probe import ask_cluster, ask_gpu_nodes, await_resources, may_grow, usable_kinds
from sweep.cluster.resources import (
    check_cpus,
    check_precisions,
    check_precisions_of_cpus,
    flaw_of,
    look_for_gpus,
    usable_gpus,
)
from sweep.command import EXIT_FAILED, remarks_on, set_up
from sweep.driver.ending import MOST_RESTARTS, SweepFolder, sweep_and_report
from sweep.driver.opening import open_sweep
from sweep.driver.storing import Placed, looked_at, placed
from sweep.driver.telling import tell_end, told_in_json
from sweep.driver.tracking import take_notify, tracked
from sweep.driver.watching import watched
from sweep.machine.apart import Work
from sweep.machine.ask_gpus import ask_gpus, may_have_gpu
from sweep.machine.gpu_facts import GpuFacts
from sweep.machine.hardware import allowed_cpus
from sweep.machine.output_folders import check_length, check_writable, local_path
from sweep.machine.stored_folders import trial_folder
from sweep.preparation.first_look import check_cache_room, look_at_files
from sweep.requests import (
    ExplainKey,
    ListTrials,
    NewSweep,
    ReproduceTrial,
    RunSweep,
    ShowData,
    WriteData,
)
from sweep.schema.resources import MOST_AUTO_CPUS, Resources
from sweep.search_space import SweepPlan
from sweep.space.learning_rates import describe_default
from sweep.spec_file.load import load_kept_plan
from sweep.spec_file.presets import preset_about, preset_names
from sweep.storage.kept_trials import check_finished
from sweep.tune.counts import SweepCounts


def list_presets(console: Console) -> int:
    """Print the presets, a line each."""
    for name in preset_names():
        console.print(Text.assemble((f"{name:12}", "bold"), " ", preset_about(name)), soft_wrap=True)
    return 0


def explain_key(request: ExplainKey, console: Console) -> int:
    """Print what a key of a spec means.

    Raises:
        UserError: there is no such key.
    """
    from sweep.spec_file import reference

    console.print(Text(reference.explain_key(request.key)), soft_wrap=True)
    return 0


def reproduce_trial(request: ReproduceTrial, console: Console) -> int:
    """Run a finished trial again and say whether its losses match.

    Raises:
        UserError: see `sweep.driver.reproduce.reproduce`.
    """
    with trial_folder("--reproduce", request.trial_dir) as trial_dir:
        return _reproduce_in(trial_dir, console)


def _reproduce_in(trial_dir: Path, console: Console) -> int:
    check_finished(trial_dir)
    cache_dir = set_up(console)
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler that measures peaks would write lines of its own
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # likewise
    from sweep.driver.reproduce import reproduce  # imports torch

    return 0 if reproduce(trial_dir, cache_dir, console) else EXIT_FAILED


def list_trials(request: ListTrials, console: Console) -> int:
    """Print the trials of a sweep with their predicted memory, for people or as a document.

    Raises:
        UserError: a bad spec, or a trial that does not fit.
    """
    with looked_at(request.sweep) as sweep:
        plan, _ = open_sweep(sweep)
    first_records = look_at_files(plan.spec)
    set_up(console)
    warnings: list[str] = []

    def say(text: str) -> None:
        warnings.append(text)
        remarks_on(console)(text)

    gpus = _gpus_to_plan_for(plan, say)
    from sweep.driver.dry_run import print_trials, work_out  # imports torch

    found = work_out(plan, first_records, gpus, console, say)
    if request.as_json:
        from sweep.driver.plan_document import plan_document

        print_document(plan_document(found, warnings), sys.stdout)
    else:
        print_trials(found, console)
    return 0


def write_data(request: WriteData, console: Console) -> int:
    """Write the SFT set of a sweep.

    Raises:
        UserError: a bad spec, or data that can't be read or written.
    """
    with looked_at(request.sweep) as sweep:
        plan, _ = open_sweep(sweep)
    folder = local_path("--write-data", request.folder)
    check_writable("--write-data", folder)
    look_at_files(plan.spec)
    cache_dir = set_up(console)
    check_cache_room(plan.spec, cache_dir, CACHE_VARIABLE)
    from sweep.driver.write_data import write_sft_set  # imports transformers

    for path in write_sft_set(plan.spec, cache_dir, folder, console):
        console.print(Text(str(path)), soft_wrap=True)
    return 0


def show_data(request: ShowData, console: Console) -> int:
    """Print train examples as the model sees them; returns the exit code.

    Raises:
        UserError: a bad spec, or data or a tokenizer that can't be read.
    """
    with looked_at(request.sweep) as sweep:
        plan, _ = open_sweep(sweep)
    look_at_files(plan.spec)
    cache_dir = set_up(console)
    check_cache_room(plan.spec, cache_dir, CACHE_VARIABLE)
    from sweep.driver.show_data import show_examples  # imports transformers

    show_examples(plan, cache_dir, request.examples, console)
    return 0


def run_sweep(request: RunSweep, apart: bool, console: Console) -> int:
    """Run a sweep and build its report.

    Args:
        request: which sweep, and where.
        apart: run it in a process of its own, see `sweep_and_report`.
        console: where all is said.

    Returns:
        The exit code.

    Raises:
        UserError: a bad spec, or data or a machine that can't run it.
    """
    with placed(request, console) as here:
        return _run_here(here, apart, console)


def _run_here(here: Placed, apart: bool, console: Console) -> int:
    """Run a sweep in a folder of this machine, and wait until its results are where they are to be kept."""
    request, place = here.request, here.place
    plan, experiment_dir = open_sweep(request.sweep)
    cache_dir, gpus = _ready(plan, request, experiment_dir, console)
    url = take_notify(plan.spec, remarks_on(console))

    def run_trials(work: Work | None) -> SweepCounts:
        from sweep.driver import execute, launch  # import torch and Ray

        begun = os.path.isfile(experiment_dir / SPEC_FILE)  # then this is another start of the same sweep
        launched = launch.Launch(
            experiment_dir,
            cache_dir,
            request.address,
            request.dashboard,
            request.command,
            gpus,
            request.limits,
            stored=place if request.address else None,
        )
        prepared = launch.make_ready(load_kept_plan(experiment_dir) if begun else plan, launched, remarks_on(console))
        return execute.execute(prepared, launched, console, work)

    resume = as_called("sweep.run", "--resume", place or str(experiment_dir))
    folder = SweepFolder(experiment_dir, request.command, resume, console, request.verbose, place=place)
    unattended = isinstance(request.sweep, NewSweep) and request.sweep.or_resume
    restarts = MOST_RESTARTS if request.address is None or unattended else 0
    with watched(request.watch, folder.named, console):
        with tracked(plan.spec, url, experiment_dir, place or typed(experiment_dir), console) as over:
            run = partial(sweep_and_report, run_trials, apart=apart, restarts=restarts)
            code = over(_run_telling(folder, run) if request.as_json else run(folder))
        code = here.over(code)
        if request.as_json:
            tell_end(experiment_dir, folder.named, code, resume)
        return code


def _run_telling(folder: SweepFolder, run: Callable[[SweepFolder], int]) -> int:
    """Run a sweep and tell in JSON what happens, then its verdict."""
    verdicts: list[Document] = []
    with told_in_json(folder.experiment_dir):
        code = run(replace(folder, on_report=lambda report: verdicts.append(report.document())))
    for verdict in verdicts:
        print_document(verdict, sys.stdout)
    return code


def _gpus_to_plan_for(plan: SweepPlan, say: Callable[[str], None]) -> tuple[GpuFacts, ...]:
    """The GPUs of this machine, for a dry run, which only says why trials could not use them."""
    if not plan.spec.resources.gpu:
        check_precisions_of_cpus(plan.precisions)
        return ()
    seen = ask_gpus(say)
    if flaw := flaw_of(seen):
        say(f"no trial can run here: {flaw}")
    check_precisions(plan.precisions, seen.gpus)
    return seen.gpus


def _ready(
    plan: SweepPlan, request: RunSweep, experiment_dir: Path, console: Console
) -> tuple[Path, tuple[GpuFacts, ...]]:
    """Check what can be checked before anything is prepared, and prepare this process.

    Returns:
        Our cache, and each kind of GPU that a trial may get.
    """
    spec = plan.spec
    flag = "--output" if isinstance(request.sweep, NewSweep) else "--resume"
    check_length(flag, experiment_dir)
    check_writable(flag, experiment_dir)
    if request.address is None:
        check_cpus(spec.resources)
        look_for_gpus(spec.resources)
    look_at_files(spec)
    cpus = float(spec.resources.with_cpus(allowed_cpus() if request.address is None else MOST_AUTO_CPUS).cpu)
    cache_dir = set_up(console, set_ray_environment(request.address, cpus))
    check_cache_room(spec, cache_dir, CACHE_VARIABLE)
    console.print(Text.assemble((spec.name, "bold"), f": {spec.about}"), soft_wrap=not console.is_terminal)
    for rate in plan.default_rates:
        remarks_on(console)(describe_default(rate))
    return cache_dir, _gpus_for(plan, request.address, remarks_on(console))


def _gpus_for(plan: SweepPlan, address: str | None, say: Callable[[str], None]) -> tuple[GpuFacts, ...]:
    """Each kind of GPU that a trial may get; none where some kind could not be asked, of which nobody knows anything.

    What a cluster or this machine lacks is refused.
    """
    wanted = plan.spec.resources
    gpus, all_asked = _gpus_of_cluster(wanted, address, say) if address else (_gpus_here(wanted, say), True)
    check_precisions(plan.precisions, gpus)
    if not wanted.gpu or (address is None and not gpus):
        check_precisions_of_cpus(plan.precisions)
    return gpus if all_asked else ()


def _gpus_of_cluster(wanted: Resources, address: str, say: Callable[[str], None]) -> tuple[tuple[GpuFacts, ...], bool]:
    nodes = ask_cluster(address)
    await_resources(nodes, wanted)
    return usable_kinds(ask_gpu_nodes(address, say), may_grow(nodes), say) if wanted.gpu else ((), True)


def _gpus_here(wanted: Resources, say: Callable[[str], None]) -> tuple[GpuFacts, ...]:
    if wanted.gpu:
        return usable_gpus(ask_gpus(say), wanted, say)
    if "gpu" not in wanted.model_fields_set and may_have_gpu():
        say("trials run on CPU, since the spec does not ask for a GPU; resources.gpu: auto does")
    return ()
