"""A trained model's responses and rewards, in as large batches as memory permits."""

import gc
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from model.memory_limit import ran_out_of_memory
from sweep.inputs import SweepInputs
from sweep.reward_metric import base_records, evaluate_reward
from sweep.tokens import load_tokenizer
from sweep.trial import TrialConfig
from sweep.trial_model import in_fp32


def judge(trained: GPT2LMHeadModel, config: TrialConfig, inputs: SweepInputs, folder: Path) -> dict[str, Any]:
    """The reward metrics of a trained model; none without a reward model.

    A response does not depend on its batch, so where memory runs out batches are halved, down to single prompts.

    Raises:
        Exception: memory has run out for a single prompt too, or what else went wrong.
    """
    reward = inputs.reward
    while reward.model is not None:
        try:
            base = base_records(inputs, reward, trained.device)
            started = time.perf_counter()
            model, tokenizer = in_fp32(trained, config, inputs.base_model), load_tokenizer(inputs.tokenizer)
            row: dict[str, Any] = evaluate_reward(
                model, tokenizer, inputs.prompts, reward, base, folder, inputs.reading
            )
            return {**row, "reward_seconds": time.perf_counter() - started}
        except Exception as error:
            if not ran_out_of_memory(error) or reward.batch_size == 1:
                raise
            traceback.clear_frames(error.__traceback__)  # they hold the tensors of the call that failed
        model = tokenizer = None
        release_memory()
        reward = reward.model_copy(update={"batch_size": reward.batch_size // 2})
    return {}


def release_memory() -> None:
    """Give back what nothing refers to any more, so that whoever comes next starts from zero."""
    gc.collect()
    if torch.cuda.is_available():
        torch._C._cuda_clearCublasWorkspaces()  # otherwise part of the next trial's baseline
        torch.cuda.empty_cache()
