"""The model of a chosen trial, and the base model that it came from."""

from collections.abc import Callable
from pathlib import Path

from transformers import PreTrainedModel

from basis.checksums import flaw
from basis.directory import TRAINED_FILE
from basis.errors import UserError, first_line
from basis.scripts import as_called, typed
from model.memory_limit import ran_out_of_memory
from sweep.preparation.models import FoundModels, find_base
from sweep.storage.kept_trials import check_unchanged
from sweep.winner.choose import Winner
from sweep.worker.judging import kept_model


def base_of(winner: Winner, cache_dir: Path, say: Callable[[str], None]) -> FoundModels:
    """The base model of a chosen trial and its tokenizer, as they were when it was trained.

    Args:
        winner: the trial.
        cache_dir: as for a sweep.
        say: told what happens.

    Raises:
        UserError: they can't be had any more, or have changed.
    """
    found = find_base(winner.spec, winner.trial.config, cache_dir, say)
    check_unchanged([winner.trial], found.hashes({}))
    return found


def check_kept(winner: Winner) -> None:
    """Refuse a trial whose weights are gone or damaged.

    Raises:
        UserError: saying what makes them again.
    """
    path = winner.trial.folder / TRAINED_FILE
    mend = f"{as_called('sweep.run', '--resume', typed(winner.experiment_dir))} trains it again"
    if not winner.trial.has_weights:
        raise UserError(f"{typed(path)}: the weights of {winner.arm.label} are not there; {mend}")
    if TRAINED_FILE in winner.trial.kept and (found := flaw(path, winner.trial.kept[TRAINED_FILE])):
        raise UserError(f"{typed(path)}: can't be loaded: it {found}; {mend}")


def trained_model(winner: Winner, base: FoundModels) -> PreTrainedModel:
    """The model that the trial has trained, in fp32 on the CPU, its adapters beside the base weights.

    Raises:
        UserError: what the trial has kept can't be loaded.
    """
    check_kept(winner)
    try:
        return kept_model(winner.trial.config, base.base_model, winner.trial.folder)
    except Exception as error:  # safetensors and the model's own checks raise unrelated types
        if ran_out_of_memory(error):
            raise
        raise UserError(f"{winner.trial.folder / TRAINED_FILE}: can't be loaded: {first_line(error)}") from None
