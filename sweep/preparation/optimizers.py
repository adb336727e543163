"""Builds each trial's optimizer over two small parameters, before anything is prepared: a library has the last word."""

from collections.abc import Sequence

from transformers import GPT2Config, GPT2LMHeadModel

from basis.errors import UserError, first_line
from basis.optimizers import OPTIMIZERS
from model.optimizer_settings import OptimizerSettings
from model.optimizers import build_optimizers
from sweep.trial.config import TrialConfig


def check_optimizers(trials: Sequence[TrialConfig]) -> None:
    """Refuse what a library refuses: a hyperparameter out of its range, or that it is not installed.

    Raises:
        UserError: naming the optimizer and what its library says.
    """
    asked = {
        (trial.optimizer, trial.lr, trial.weight_decay, trial.momentum, trial.betas, trial.optimizer_options): trial
        for trial in trials
        if OPTIMIZERS[trial.optimizer].provider != "torch"
    }
    for trial in asked.values():
        own = trial.momentum or 0.0, trial.betas or (0.0, 0.0)
        options = trial.optimizer_options.plain() if trial.optimizer_options else {}
        settings = OptimizerSettings(trial.optimizer, trial.lr, trial.weight_decay, *own, options=options)
        try:
            build_optimizers(GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=8)), settings)
        except ModuleNotFoundError as error:
            raise UserError(
                f"optimizer {trial.optimizer}: {error.name} is not installed; pip install sft-sweep[quantized]"
            ) from None
        except Exception as error:  # each library's own
            raise UserError(f"optimizer {trial.optimizer}: its library says {first_line(error)}") from None
