"""Whether a disk has room for what a sweep will write, asked before anything is prepared."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from transformers import PretrainedConfig

from basis.directory import FINISHED_FILE
from basis.disks import free_bytes, mount_point
from basis.errors import UserError
from basis.optimizers import OPTIMIZERS
from basis.stages import Stage
from basis.units import show_bytes
from sweep.search_space import SweepPlan
from sweep.trial.config import TrialConfig
from sweep.trial.outline import trained_bytes

TRIAL_BYTES = 64 * 2**10
"""What a trial's small files take at least: rows three times over, its record, Ray's list."""


def check_output_room(
    shapes: Mapping[str | None, PretrainedConfig], plan: SweepPlan, experiment_dir: Path, say: Callable[[str], None]
) -> None:
    """Refuse a sweep that the disk of its experiment directory has no room for, or say what it lacks room for.

    Checkpoints are not counted: a trial goes on without. They are what is lacked room for.

    Args:
        shapes: the base models', by what trials say of theirs.
        plan: the sweep and its trials.
        experiment_dir: where they keep their files; what has finished there takes no more.
        say: told what there is no room for.

    Raises:
        UserError: naming what is needed and what is there.
    """
    todo = [trial for trial in plan.candidates if not (experiment_dir / trial.name / FINISHED_FILE).is_file()]
    if not todo:
        return
    kinds = Counter(map(_kind, todo))
    alike = {_kind(trial): trial for trial in todo}
    weights = {kind: trained_bytes(trial, shapes[trial.model]) for kind, trial in alike.items()}
    kept = {kind: size if alike[kind].evaluate_on != Stage.TUNING else 0 for kind, size in weights.items()}
    scale = max(
        1.0, (plan.least_trials - len(plan.candidates) + len(todo)) / len(todo)
    )  # a search chooses more than are listed
    needed = int(scale * sum(count * (kept[kind] + TRIAL_BYTES) for kind, count in kinds.items()))
    free = free_bytes(experiment_dir)
    largest = max(kept, key=lambda kind: kept[kind])
    if needed > free:
        raise UserError(
            f"--output {experiment_dir}: {round(scale * len(todo))} trials will keep {show_bytes(needed)} of weights "
            f"and results (up to {show_bytes(kept[largest])} of weights in one), and {mount_point(experiment_dir)} has "
            f"{show_bytes(free)} free; make room, or name a folder on another disk"
        )
    checkpoint, trial = max(
        ((int(weights[kind] * (1 + OPTIMIZERS[one.optimizer].states)), one.label) for kind, one in alike.items()),
        key=lambda pair: pair[0],
    )
    if needed + 2 * checkpoint > free:  # a new one is written beside the one before
        say(
            f"{mount_point(experiment_dir)} has {show_bytes(free)} free: enough for the {show_bytes(needed)} that "
            f"trials keep, but maybe not for their checkpoints (up to {show_bytes(checkpoint)}, {trial}), without "
            "which a trial that is interrupted begins anew"
        )


def refuse_without_room(what: str, folder: Path, needed_bytes: int, elsewhere: str) -> None:
    """Refuse to write so much into a folder that has no room for it.

    Args:
        what: what will be written, for the message.
        folder: where.
        needed_bytes: how much.
        elsewhere: how another disk is named, for the message.

    Raises:
        UserError: naming both numbers.
    """
    free = free_bytes(folder)
    if needed_bytes > free:
        raise UserError(
            f"{folder}: {what} takes {show_bytes(needed_bytes)}, and {mount_point(folder)} has {show_bytes(free)} "
            f"free; make room, or {elsewhere}"
        )


def _kind(trial: TrialConfig) -> TrialConfig:
    """Trials that keep as many bytes are equal by it."""
    alike = {"lr": 1.0, "seed": 0, "steps": 1, "warmup_steps": 0, "schedule": "constant", "alpha": trial.alpha and 1.0}
    return trial.model_copy(update={**alike, "weight_decay": 0.0, "clip_norm": None, "test_every": 1})
