"""Which sweep a command line means: one that begins in a directory, or one that goes on there."""

import os
from pathlib import Path

from basis.directory import INPUTS_DIR, RAY_LOG_FILE, SPEC_FILE
from basis.errors import UserError
from sweep.driver.same_sweep import check_same_sweep
from sweep.machine.output_folders import folder_name, local_path
from sweep.requests import KeptSweep, NewSweep, Sweep
from sweep.search_space import SweepPlan
from sweep.spec_file.load import load_kept_plan, load_plan
from sweep.storage.claim import LOCK_FILE
from sweep.storage.replacement import check_settled

LEFT_BEFORE_SPEC = (LOCK_FILE, RAY_LOG_FILE, INPUTS_DIR)
"""What a start that ended before it wrote the spec leaves in an experiment directory."""


def open_sweep(sweep: Sweep) -> tuple[SweepPlan, Path]:
    """The plan of a sweep and its experiment directory.

    Raises:
        UserError: a bad spec; a directory to be continued that holds no sweep; or one to begin in that is not empty.
    """
    return _begin(sweep) if isinstance(sweep, NewSweep) else _continue(sweep)


def _begin(sweep: NewSweep) -> tuple[SweepPlan, Path]:
    plan = load_plan(sweep.spec, sweep.settings)
    chosen = f"experiments/{folder_name(plan.spec.name)}" if sweep.output is None else sweep.output
    experiment_dir = local_path("--output", chosen)
    if sweep.or_resume and os.path.isfile(experiment_dir / SPEC_FILE):
        kept, _ = _continue(KeptSweep(str(experiment_dir)))
        check_same_sweep(plan.spec, kept.spec, experiment_dir)
        return kept, experiment_dir
    check_free(experiment_dir, sweep.or_resume)
    return plan, experiment_dir


def check_free(experiment_dir: Path, or_resume: bool) -> None:
    """Refuse a directory in which no sweep can begin; one in which a sweep has begun will do for `or_resume`.

    Raises:
        UserError: it is a file, or something lies in it.
    """
    if or_resume and os.path.isfile(experiment_dir / SPEC_FILE):
        return
    expected = LEFT_BEFORE_SPEC if or_resume else ()
    if os.path.isfile(experiment_dir) or (
        os.path.isdir(experiment_dir) and any(path.name not in expected for path in experiment_dir.iterdir())
    ):
        raise UserError(
            f"--output {experiment_dir} is not an empty directory; name a new one, or continue it with --resume"
        )


def _continue(sweep: KeptSweep) -> tuple[SweepPlan, Path]:
    experiment_dir = local_path("--resume", sweep.directory)
    if not os.path.isfile(experiment_dir / SPEC_FILE):
        raise UserError(f"--resume {sweep.directory}: no {SPEC_FILE} in it; name an experiment directory")
    check_settled(f"--resume {sweep.directory}", experiment_dir)
    try:
        return load_kept_plan(experiment_dir), experiment_dir
    except UserError as error:
        path = experiment_dir / SPEC_FILE
        raise UserError(f"{path}: is not as the sweep left it, and can't be made again: {error}") from None
