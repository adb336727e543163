"""Exports the model of an arm: chosen, checked, written whole or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from basis.disks import disk_error, disk_failure
from basis.errors import UserError
from basis.files import publish_folder
from basis.methods import METHODS
from sweep.exporting.card import card_of
from sweep.exporting.weights import Form, write_model
from sweep.machine.quiet import quiet_libraries
from sweep.machine.workshop import workshop
from sweep.winner.choose import choose
from sweep.winner.model import base_of, check_kept


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        label: the arm.
        why_arm: why this one.
        why_seed: why this one of its trials.
        what: what lies in the folder, in words.
    """

    label: str
    why_arm: str
    why_seed: str
    what: str


def export(
    experiment_dir: Path,
    arm: str | None,
    best: str | None,
    folder: Path,
    merged: bool,
    cache_dir: Path,
    say: Callable[[str], None],
    bring: Callable[[Path], None] = lambda trial_dir: None,
) -> Exported:
    """Export an arm's model into a folder.

    Args:
        experiment_dir: a sweep's directory.
        arm: the arm's label; see `choose`.
        best: the metric by which it is chosen; see `choose`.
        folder: new or empty.
        merged: whether adapters are merged into the weights. What was trained in full is whole weights anyway.
        cache_dir: as for a sweep.
        say: told what happens.
        bring: brings the weights of the chosen trial, by its directory, where they are not here.

    Raises:
        UserError: there is no such arm, or no model of it.
        DiskError: the disk is full, read-only or failing; nothing is left behind.
    """
    winner = choose(experiment_dir, arm, best)
    bring(winner.trial.folder)
    check_kept(winner)
    quiet_libraries()
    method = winner.trial.config.method
    if merged and method != "full" and not METHODS[method].merges:
        raise UserError(f"--merged: an adapter of method {method!r} can't be merged; leave it out")
    form: Form = "merged" if merged or method == "full" else "adapter"
    base = base_of(winner, cache_dir, say)
    try:
        into = folder.is_dir()  # which may be the user's working directory, a link or another disk, so it stays
        with workshop(folder if into else folder.parent) as place:
            unfinished = place / folder.name
            unfinished.mkdir()
            write_model(winner, base, form, unfinished, say)
            card = unfinished / "README.md"
            card.write_text(card_of(winner, form), encoding="utf-8")
            for path in unfinished.iterdir():
                path.chmod(card.stat().st_mode)  # the umask's; safetensors keeps all others out of its files
            if into:
                for path in sorted(unfinished.iterdir()):
                    path.rename(folder / path.name)
            else:
                publish_folder(unfinished, folder)
    except UserError:
        raise
    except Exception as error:  # safetensors says what the disk says in an error of its own
        if (number := disk_failure(error)) is None:
            raise
        raise disk_error(folder, number) from error
    what = "adapter for PEFT" if form == "adapter" else "whole weights for transformers"
    return Exported(winner.arm.label, winner.why_arm, winner.why_seed, what)
