"""A trained model's responses and rewards, in as large batches as memory permits."""

import gc
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import PreTrainedModel

from basis.directory import TRAINED_FILE
from basis.files import write_atomically
from model.gpt2_lora import load_trained, save_trained, trained_parameters
from model.memory_limit import ran_out_of_memory
from sweep.data.tokenizer import load_tokenizer
from sweep.inputs import SweepInputs
from sweep.reward_metric import evaluate_reward, shared_base_answers
from sweep.schema.reward import RewardPart
from sweep.storage.checkpoint import stored_bytes
from sweep.storage.responses import Answer
from sweep.trial.config import TrialConfig
from sweep.trial.model import build_model, in_fp32

T = TypeVar("T")


def judge(trained: PreTrainedModel, config: TrialConfig, inputs: SweepInputs, folder: Path) -> dict[str, Any]:
    """The reward metrics of a trained model; none where nothing judges.

    A response does not depend on its batch, so where memory runs out batches are halved, down to single prompts.

    Raises:
        JudgingError: the judge has no finite score for any prompt.
        Exception: memory has run out for a single prompt too, or what else went wrong.
    """
    if inputs.reward.judged_by is None:
        return {}
    base = base_answers(inputs, trained.device)
    started = time.perf_counter()

    def evaluate(reward: RewardPart) -> dict[str, Any]:
        model, tokenizer = in_fp32(trained, config, inputs.base_model), load_tokenizer(inputs.tokenizer)
        return dict(evaluate_reward(model, tokenizer, inputs.prompts, reward, base, folder, inputs.reading))

    row = in_batches_that_fit(evaluate, inputs.reward)
    return {**row, "reward_seconds": time.perf_counter() - started, "judged_clock_seconds": time.time()}


def base_answers(inputs: SweepInputs, device: torch.device) -> list[Answer]:
    """The base model's answers with their rewards. The first trial that needs them makes them, on `device`."""
    return in_batches_that_fit(lambda reward: shared_base_answers(inputs, reward, device), inputs.reward)


def keep_model(model: PreTrainedModel, folder: Path) -> None:
    """Keep what a trial has trained in its directory.

    Raises:
        DiskError: the disk is full, read-only or failing.
    """
    write_atomically(
        folder / TRAINED_FILE,
        lambda partial: save_trained(model, partial),
        stored_bytes(dict(trained_parameters(model))),
    )


def kept_model(config: TrialConfig, base_model: str, folder: Path) -> PreTrainedModel:
    """The model that a finished trial has kept in its directory, in fp32 on the CPU.

    Raises:
        ValueError: what is kept does not fit the config, see `load_trained`.
    """
    model = build_model(config, base_model)
    load_trained(model, folder / TRAINED_FILE)
    return model


def in_batches_that_fit(work: Callable[[RewardPart], T], reward: RewardPart) -> T:
    """Do `work`, with batches halved as often as memory runs out."""
    while True:
        try:
            return work(reward)
        except Exception as error:
            if not ran_out_of_memory(error) or reward.batch_size == 1:
                raise
            traceback.clear_frames(error.__traceback__)  # they hold the tensors of the call that failed
        release_memory()
        reward = reward.model_copy(update={"batch_size": reward.batch_size // 2})


def accelerator_failed(error: BaseException) -> bool:
    """Whether an error is one of the accelerator's own, after which this process can't use it any more."""
    failed = isinstance(error, torch.AcceleratorError) or str(error).startswith("CUDA error")
    return failed and isinstance(error, RuntimeError) and not ran_out_of_memory(error)


def release_memory() -> None:
    """Free what nothing refers to any more, so that the next trial starts from zero."""
    gc.collect()
    if torch.cuda.is_available():
        torch._C._cuda_clearCublasWorkspaces()  # otherwise part of the next trial's baseline
        torch.cuda.empty_cache()
