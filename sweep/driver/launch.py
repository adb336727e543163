"""A sweep made ready on this machine, before Ray starts: what it needs is there, and its trials can run on it."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sweep.cluster.privacy import without_secrets
from sweep.driver.precision import settled_plan
from sweep.hub.fetch import Say
from sweep.hub.pin import pin
from sweep.machine.compiler import check_compiler
from sweep.machine.environment import allow_open_files
from sweep.machine.gpu_facts import GpuFacts
from sweep.machine.hardware import allowed_cpus
from sweep.machine.quiet import quiet_libraries
from sweep.memory.shape import planned_shapes
from sweep.preparation.disk_room import check_output_room
from sweep.preparation.optimizers import check_optimizers
from sweep.preparation.prepare import PreparedSweep, prepare
from sweep.provenance.sweep_record import check_identity
from sweep.schema.limits import UNLIMITED, Limits
from sweep.schema.resources import Resources
from sweep.search_space import SweepPlan


@dataclass(frozen=True)
class Launch:
    """Where a sweep is launched, and by what.

    Attributes:
        experiment_dir: where it keeps its results.
        cache_dir: where what sweeps share is kept between them.
        address: of the Ray cluster that it runs on; None: a Ray of our own on this machine.
        dashboard: whether Ray's dashboard is started.
        command: the command line.
        gpus: each kind of GPU that a trial may get, as far as it could be asked; empty for trials on CPU.
        limits: what its running trials may take together.
        stored: the address in object storage that the nodes of a cluster keep results at; None: in `experiment_dir`.
    """

    experiment_dir: Path
    cache_dir: Path
    address: str | None
    dashboard: bool
    command: str
    gpus: tuple[GpuFacts, ...] = ()
    limits: Limits = UNLIMITED
    stored: str | None = None


def make_ready(plan: SweepPlan, launch: Launch, say: Say) -> PreparedSweep:
    """Check the machine, and find or make everything that the trials of a sweep share.

    Args:
        plan: the sweep and its trials.
        launch: where it is to run.
        say: told what happens, one line at a time.

    Raises:
        UserError: data, models or a machine that don't fit; or a directory whose sweep had other ones.
    """
    if launch.address is None:
        _ready_machine(plan.spec.resources, plan.compiles)
    quiet_libraries()
    plan = settled_plan(plan, launch.address, launch.gpus, say)
    public = plan.spec.model_copy(update={"about": without_secrets(plan.spec.about)})
    spec = pin(public, say)
    check_optimizers(plan.candidates)
    shapes = planned_shapes(spec.models, plan.candidates)
    check_output_room(shapes, plan, launch.experiment_dir, say)
    prepared = prepare(replace(plan, spec=spec), launch.cache_dir, say)
    check_identity(launch.experiment_dir, prepared.identity)
    return prepared


def _ready_machine(resources: Resources, compiles: bool) -> None:
    """Get this machine ready for trials, and refuse what it can't do.

    Raises:
        UserError: what a compiled trial needs is not there, or the limit of open files is too low.
    """
    allow_open_files(math.ceil(allowed_cpus() / min(1, float(resources.with_cpus(allowed_cpus()).cpu))))
    torch.set_num_threads(min(torch.get_num_threads(), allowed_cpus()))
    if compiles:
        check_compiler()
